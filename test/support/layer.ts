/** @file A model of one layer, for tests of what a method does to its weight. */
import { Graph, type Value } from "../../src/ir/graph.ts";
import { createModel, type Model } from "../../src/ir/model.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { type WeightUse, weightsOf } from "../../src/ops/weights.ts";
import { readWeight } from "../../src/weights/read.ts";

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

/** Each layer's weight as the engine sees it. */
export function weightsIn(
  model: Model,
): { use: WeightUse; weight: NonNullable<ReturnType<typeof readWeight>> }[] {
  inferModel(model);
  return weightsOf(model).map((use) => ({ use, weight: readWeight(use.value)! }));
}
