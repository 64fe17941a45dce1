/** @file Bounds are what the operator keeps to, whatever it reads. */
import { expect, test } from "vitest";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { boundsOf } from "../../src/ops/bounds.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";

const x = tensor("float64", [5], [-1e6, -2, 0.5, 3, 1e6]);

test.each<[string, (g: Builder, x: Value) => Value]>([
  ["Relu", (g, x) => g.Relu(x)],
  ["Clip, both ends", (g, x) => g.Clip(x, double(g, -1), double(g, 6))],
  ["Clip, below", (g, x) => g.Clip(x, double(g, 0))],
  ["Clip, above", (g, x) => g.Clip(x, null, double(g, 6))],
  ["Clip, an end that is computed from constants", (g, x) => g.Clip(x, g.Neg(double(g, 2)))],
])("%s", (_, draw) => {
  const graph = new Graph("bounds");
  const y = draw(build(graph), graph.addInput("x", "float64", [5]));
  y.name = "y";
  graph.setOutputs([y]);
  const { low, high } = boundsOf(y.producer!)!;
  const expected = Array.from(x.numbers(), (v) => Math.min(Math.max(v, low!), high!));
  expect(Array.from(evaluateGraph(graph, { x }).y.numbers())).toEqual(expected);
});

test("an end that comes in is not known, and what does more has no bounds", () => {
  const graph = new Graph("open");
  const g = build(graph);
  const input = graph.addInput("x", "float32", [5]);
  const top = graph.addInput("top", "float32", []);
  expect(boundsOf(g.Clip(input, g.constant(0), top).producer!)).toEqual({ low: 0, high: null });
  expect(boundsOf(g.LeakyRelu(input).producer!)).toBe(null);
});

function double(g: Builder, x: number): Value {
  return g.constant(x, { dtype: "float64" });
}
