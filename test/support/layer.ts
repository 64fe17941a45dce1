/** @file Models of one layer or a few, for tests of what a method does to a weight. */
import { Graph, type Value } from "../../src/ir/graph.ts";
import { createModel, type Model } from "../../src/ir/model.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { type WeightUse, weightsOf } from "../../src/ops/weights.ts";
import { readWeight } from "../../src/weights/read.ts";
import type { FloatWeight } from "../../src/weights/weight.ts";

/**
 * A model with one input x [shape], float32, and one output y = draw(x); nodes are layer1, layer2
 * ...
 */
export function layerModel(
  shape: readonly (number | string)[],
  draw: (g: Builder, x: Value) => Value,
): Model {
  const graph = new Graph("layer");
  const x = graph.addInput("x", "float32", shape);
  const y = draw(build(graph), x);
  y.name = "y";
  y.dtype = "float32";
  graph.setOutputs([y]);
  let n = 0;
  for (const node of graph.sorted()) node.name = `layer${++n}`;
  const model = createModel(graph, 21);
  inferModel(model);
  return model;
}

/** How a weight is stored: the kind of its form, or the coding of plain numbers. */
export const kindOf = (weight: FloatWeight): string =>
  weight.form === null ? String(weight.coding) : weight.form.kind;

/** The numbers of one part of a weight's form, such as its codebook. */
export function partOf(weight: FloatWeight, name: string): ArrayLike<number> {
  if (weight.form === null) throw new Error(`plain numbers have no ${name}`);
  return weight.theta[name].values;
}

/** All weights of the model, decoded. */
export function weightsIn(
  model: Model,
): { use: WeightUse; weight: NonNullable<ReturnType<typeof readWeight>> }[] {
  inferModel(model);
  return weightsOf(model).map((use) => ({ use, weight: readWeight(use.value)! }));
}
