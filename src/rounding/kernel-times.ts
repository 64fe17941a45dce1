/** @file What layers take with weights unpacked at load, and with the n-bit MatMul of the engine. */
import type { Context } from "../context.ts";
import type { Node, Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import { isProduct, missingKernel, storeDequantized } from "../layers/n-bit.ts";
import { inferModel } from "../ops/infer.ts";
import { roundToGrid } from "../weights/forms/grid.ts";
import { blockAxisOf, type ThetaSite } from "../weights/sites.ts";
import type { GridChoice } from "./options.ts";

/** The times of a layer in microseconds. */
export interface KernelTimes {
  /** Computed in float, from weights of any bits that are unpacked when the model is loaded. */
  readonly float: number;
  /** By the n-bit MatMul, for each number of bits that it has. */
  readonly integer: ReadonlyMap<number, number>;
}

/**
 * Measures every layer of `sites` as it is and with the kernel for each of `widths` that has one on the
 * target, all layers in one session; null where the engine does not tell the time of each node. Only
 * products x W with a scale per output, or per block that divides the inputs, have such a kernel.
 */
export async function kernelTimes(
  model: Model,
  sites: readonly ThetaSite[],
  widths: readonly number[],
  { block, levels }: Pick<GridChoice, "block" | "levels">,
  { timeNodes, target }: Pick<Context, "timeNodes" | "target">,
): Promise<readonly KernelTimes[] | null> {
  const now = await timeNodes?.(model);
  if (!timeNodes || !now) return null;
  const found = sites.map(({ node }) => ({
    float: now.get(node) ?? 0,
    integer: new Map<number, number>(),
  }));
  const fits = sites.map(
    (site) => levels === "symmetric" && isProduct(site) && divides(site, block),
  );
  for (const bits of widths.filter((width) => missingKernel(width, block, target) === null)) {
    if (!fits.includes(true)) break;
    const twins = new Map<Value, Value>();
    const copy: Model = { ...model, graph: cloneGraph(model.graph, twins) };
    const nodes = sites.map((site, i) => (fits[i] ? placed(site, bits, block, twins) : []));
    inferModel(copy);
    const times = await timeNodes(copy);
    if (!times) return null;
    for (const [i, own] of nodes.entries()) {
      if (own.length === 0) continue;
      const us = own.reduce((sum, node) => sum + (times.get(node) ?? 0), 0);
      found[i].integer.set(bits, us);
    }
  }
  return found;
}

const divides = (site: ThetaSite, block: number): boolean =>
  block === 0 || site.weight.shape[blockAxisOf(site)] % block === 0;

/** Stores the copy of a layer for the kernel; gives the nodes whose time is then the layer's. */
function placed(
  site: ThetaSite,
  bits: number,
  block: number,
  twins: ReadonlyMap<Value, Value>,
): Node[] {
  const { values, shape } = site.weight;
  const node = twins.get(site.node.output)?.producer as Node;
  const value = twins.get(site.value) as Value;
  // The time does not depend on the levels, so that the nearest ones do.
  const axis = block > 0 ? blockAxisOf(site) : site.channels;
  storeDequantized(
    { node, value },
    roundToGrid(values, shape, { bits, block, axis, search: "minmax" }),
  );
  return [node, ...node.inputs.flatMap((input) => input?.producer ?? []).filter(isOwn)];
}

/** Whether a node computes from constants alone, as that which unpacks a weight does. */
const isOwn = ({ inputs }: Node): boolean => inputs.every((input) => input?.tensor);
