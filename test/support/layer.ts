/** @file A model of one layer, for tests of what a method does to its weight. */
import { Graph, type Value } from "../../src/ir/graph.ts";
import { createModel, type Model } from "../../src/ir/model.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { type WeightUse, weightsOf } from "../../src/ops/weights.ts";
import { readWeight } from "../../src/weights/read.ts";
import type { FloatWeight } from "../../src/weights/weight.ts";

/** x [shape] -> draw(x) -> y. */
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

/** How a weight is stored: the form's kind, or the type of plain numbers. */
export const kindOf = (weight: FloatWeight): string =>
  weight.form === null ? String(weight.coding) : weight.form.kind;

/** The numbers of one part of a form. */
export function partOf(weight: FloatWeight, name: string): ArrayLike<number> {
  if (weight.form === null) throw new Error(`plain numbers have no ${name}`);
  return weight.theta[name].values;
}

/** Each layer's weight as the engine sees it. */
export function weightsIn(
  model: Model,
): { use: WeightUse; weight: NonNullable<ReturnType<typeof readWeight>> }[] {
  inferModel(model);
  return weightsOf(model).map((use) => ({ use, weight: readWeight(use.value)! }));
}
