/** @file A model whose first layer has a chain in its place, beside the original, in the engine. */
import { expect } from "vitest";
import { Graph, type Node, type Value } from "../../src/ir/graph.ts";
import { cloneModel, createModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { verify } from "../../src/ir/verify.ts";
import type { Chain } from "../../src/layers/chain.ts";
import { type Layer, layerOf } from "../../src/layers/matrix.ts";
import { replaceLayer } from "../../src/layers/replace.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { outputsOf } from "../support/apply.ts";
import { relativeError } from "../support/error.ts";
import { weightsIn } from "../support/layer.ts";
import { normal, sizeOf } from "./kernels.ts";

/** Opens layer `index` of the model itself. */
export function open(model: Model, index = 0): Layer | string {
  const { use, weight } = weightsIn(model)[index];
  return layerOf({ ...use, weight });
}

export interface Replaced {
  readonly model: Model;
  /** Those of the stages. */
  readonly nodes: readonly Node[];
}

/** A copy with the chain in place of its first layer, which must not refuse it. */
export function replaced(start: Model, chain: Chain, grouped = false): Replaced {
  const model = cloneModel(start);
  const [{ use, weight }] = weightsIn(model);
  const layer = layerOf({ ...use, weight }, { grouped });
  if (typeof layer === "string") throw new Error(layer);
  const nodes = replaceLayer(layer, chain);
  if (typeof nodes === "string") throw new Error(nodes);
  inferModel(model);
  expect(verify(model)).toEqual([]);
  return { model, nodes };
}

/** Layers that read the same x, each an output; by name, with the chain to put in its place. */
export type Layers = Readonly<
  Record<string, { readonly chain: Chain; draw(g: Builder, x: Value): Value }>
>;

/** That all chains give what their layers give: one model of all of them, so one run each. */
export async function expectAlike(
  shape: readonly (number | string)[],
  layers: Layers,
): Promise<void> {
  const graph = new Graph("layers");
  const x = graph.addInput("x", "float32", shape);
  const outputs = Object.entries(layers).map(([name, { draw }]) => {
    const y = draw(build(graph, name), x);
    [y.name, y.dtype] = [name, "float32"];
    return y;
  });
  graph.setOutputs(outputs);
  const start = createModel(graph, 21);
  inferModel(start);
  const model = cloneModel(start);
  for (const { use, weight } of weightsIn(model)) {
    const name = Object.keys(layers).find((name) => use.node.name.startsWith(`${name}/`)) as string;
    const layer = layerOf({ ...use, weight });
    if (typeof layer === "string") throw new Error(layer);
    expect(replaceLayer(layer, layers[name].chain)).toBeInstanceOf(Array);
  }
  inferModel(model);
  expect(verify(model)).toEqual([]);
  const gaps = await gapsOf(start, model, 2);
  expect(gaps.filter(([, gap]) => !(gap < 1e-5))).toEqual([]);
  expect(gaps.length).toBe(outputs.length);
}

/** max |a - b| / max |a| of what two models make of the same random inputs, the worst output. */
export async function apart(a: Model, b: Model, records = 2): Promise<number> {
  return Math.max(...(await gapsOf(a, b, records)).map(([, gap]) => gap));
}

async function gapsOf(a: Model, b: Model, records: number): Promise<[string, number][]> {
  const feeds = Object.fromEntries(
    a.graph.inputs.map(({ name, shape }) => {
      const dims = (shape ?? []).map((dim) => (typeof dim === "number" ? dim : records));
      return [name, tensor("float32", dims, normal(sizeOf(dims)))];
    }),
  );
  const [first, second] = await Promise.all(
    [a, b].map((model) => outputsOf(concat(writeModel(model)), feeds)),
  );
  return Object.keys(first).map((name) => [
    name,
    relativeError({ y: first[name] }, { y: second[name] }),
  ]);
}
