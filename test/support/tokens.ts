/** @file Models that look tokens up: for tests of embedding tables and vocabularies. */
import { Graph, type Value } from "../../src/ir/graph.ts";
import { createModel, type Model } from "../../src/ir/model.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { inferModel } from "../../src/ops/infer.ts";

/**
 * A model with integers ids [N, length] and one float32 output y = draw(ids, table), with a constant
 * table [rows, features]; nodes are node0, node1 ...
 */
export function tokenModel(
  table: Float32Array,
  shape: readonly [rows: number, features: number],
  length: number | string,
  draw: (g: Builder, ids: Value, table: Value) => Value,
): Model {
  const graph = new Graph("tokens");
  const input = graph.addInput("ids", "int64", ["N", length]);
  const g = build(graph);
  const y = draw(g, input, g.constant(table, { shape: [...shape], name: "table" }));
  y.name = "y";
  y.dtype = "float32";
  graph.setOutputs([y]);
  for (const [i, node] of graph.sorted().entries()) node.name = `node${i}`;
  const model = createModel(graph, 21);
  inferModel(model);
  return model;
}
