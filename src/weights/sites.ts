/** @file Sites: the weights of a model that a method may work on, chosen by globs and size. */

import type { Context } from "../context.ts";
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { build } from "../ops/builder.ts";
import { type WeightRole, type WeightUse, weightsOf } from "../ops/weights.ts";
import { expandFloat } from "./expand.ts";
import type { Form, Weight } from "./form.ts";
import { readWeight } from "./read.ts";
import { type Selection, select } from "./select.ts";

/** A weight read by one node, or by several that share it. */
export interface Site {
  /** The first node that reads the weight; its name stands for the layer in reports. */
  readonly node: Node;
  readonly role: WeightRole;
  readonly value: Value;
  readonly weight: Weight;
}

/**
 * The chosen float weights, each once. Smaller ones than `minSize` elements are skipped with a
 * reason. Throws TersorError "no-match" for a glob that matches no layer.
 */
export function sitesOf(
  model: Model,
  selection: Selection,
  context: Context,
  minSize = 64,
): Site[] {
  const found = weightsOf(model);
  const chosen = select(
    found.map(({ node }) => node),
    selection,
  );
  const sites = new Map<Value, Site>();
  const rootOf = tiedRoots(found);
  const shared = sharedOutside(found, chosen);
  for (const { node, role, value } of found) {
    if (!chosen.has(node) || sites.has(value)) continue;
    const bound = shared(value);
    // The turned copy follows the weight itself, which is a site of its own.
    if (!bound && rootOf(value) !== value) continue;
    const weight = bound ? null : readWeight(value);
    const tooSmall = weight && weight.values.length < minSize;
    const reason =
      bound ??
      refusalOf(value, weight) ??
      (tooSmall ? `has only ${weight.values.length} weights` : null);
    if (reason) context.skip(node.name, reason);
    else if (weight) sites.set(value, { node, role, value, weight });
  }
  return [...sites.values()];
}

/** Why a chosen layer's weight may not change: one that is left out reads it too. */
export function sharedOutside(
  found: readonly WeightUse[],
  chosen: ReadonlySet<Node>,
): (value: Value) => string | null {
  const rootOf = tiedRoots(found);
  const outside = found.filter(({ node }) => !chosen.has(node));
  const left = new Map(outside.map(({ node, value }) => [rootOf(value), node]));
  return (value) => {
    const other = left.get(rootOf(value));
    return other ? `shares its weight with ${other.name}, which is left out` : null;
  };
}

/**
 * From a weight to the one it is a turned copy of: scores are often computed from the transposed
 * embedding, which must be stored once and not twice.
 */
function tiedRoots(found: readonly WeightUse[]): (value: Value) => Value {
  const weights = new Set(found.map(({ value }) => value));
  return (value) => {
    for (let at: Value = value; ; ) {
      const node = at.producer;
      if (node?.op !== "Transpose" && node?.op !== "Reshape") return value;
      at = node.inputs[0] as Value;
      if (weights.has(at)) return at;
    }
  };
}

/** Why a weight is left alone whatever the method; null where there is no reason. */
export function refusalOf(value: Value, weight: Weight | null): string | null {
  if (!weight) return "its weight is not made of constant floats";
  if (isQuantized(value)) return "is quantized for integer kernels already";
  const dtype = value.tensor?.dtype ?? value.dtype;
  if (dtype && dtype !== "float32") return `its weight is ${dtype}; only float32 is compressed`;
  return weight.values.every(Number.isFinite) ? null : "its weight holds infinities or NaNs";
}

/** Whether an integer kernel reads the weight: another form in its place would lose that kernel. */
function isQuantized(value: Value): boolean {
  return value.producer?.op === "DequantizeLinear";
}

/** Puts a new stored form in the weight's place, for every reader. */
export function storeWeight({ value, weight, node }: Omit<Site, "role">, form: Form): void {
  const { graph } = value;
  const stored = expandFloat(build(graph), form, weight.shape);
  graph.replace(value, stored);
  // After a graph output, which would have taken its name along.
  if (!stored.isOutput) stored.name = value.name || node.name;
  if (value.tensor) graph.removeConstant(value);
}
