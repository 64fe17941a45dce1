/** @file Ranges: no input makes an output leave them, and nothing is claimed of open outputs. */
import { describe, expect, test } from "vitest";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { parseModel } from "../../src/ir/parse.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { rangeOf } from "../../src/ops/range.ts";

const shape = [2, 3, 4, 4];
/** Values far out and near zero, so that every operator reaches its ends. */
const x = tensor(
  "float32",
  shape,
  Float32Array.from({ length: 96 }, (_, i) => (i - 48) * (i % 7 === 0 ? 1e3 : 0.2)),
);

/** The output of `draw`, drawn on an input x of this shape. */
function drawn(draw: (g: Builder, x: Value) => Value): { graph: Graph; y: Value } {
  const graph = new Graph("range");
  const y = draw(build(graph), graph.addInput("x", "float32", shape));
  y.name = "y";
  graph.setOutputs([y]);
  return { graph, y };
}

describe("a range", () => {
  test.each<[string, readonly [number, number], (g: Builder, x: Value) => Value]>([
    ["Sigmoid", [0, 1], (g, x) => g.Sigmoid(x)],
    ["HardSigmoid", [0, 1], (g, x) => g.HardSigmoid(x)],
    ["Softmax", [0, 1], (g, x) => g.Softmax(x, { axis: 1 })],
    ["Hardmax", [0, 1], (g, x) => g.Hardmax(x, { axis: 1 })],
    ["Tanh", [-1, 1], (g, x) => g.Tanh(x)],
    ["Erf", [-1, 1], (g, x) => g.Erf(x)],
    ["Sin", [-1, 1], (g, x) => g.Sin(x)],
    ["Cos", [-1, 1], (g, x) => g.Cos(x)],
    ["Softsign", [-1, 1], (g, x) => g.Softsign(x)],
    ["LpNormalization", [-1, 1], (g, x) => g.LpNormalization(x)],
    ["Clip", [-2, 6], (g, x) => g.Clip(x, g.constant(-2), g.constant(6))],
    ["moved", [0, 1], (g, x) => g.Transpose(g.Reshape(g.Sigmoid(x), g.ints([2, 48])))],
    ["cut", [0, 1], (g, x) => g.Slice(g.Sigmoid(x), g.ints([0]), g.ints([1]), g.ints([1]))],
    ["averaged", [0, 1], (g, x) => g.ReduceMean(g.Sigmoid(x), g.ints([1]))],
    ["the largest", [0, 1], (g, x) => g.ReduceMax(g.Sigmoid(x), g.ints([1]))],
    ["pooled", [0, 1], (g, x) => g.AveragePool(g.Sigmoid(x), { kernel_shape: [2, 2] })],
    ["joined", [-1, 1], (g, x) => g.Concat(g.Sigmoid(x), g.Tanh(x), { axis: 1 })],
    ["chosen", [-1, 1], (g, x) => g.Where(g.Less(x, g.constant(0)), g.Sigmoid(x), g.Tanh(x))],
    ["rectified", [0, 1], (g, x) => g.Relu(g.Tanh(x))],
    ["cast", [0, 1], (g, x) => g.Cast(g.Sigmoid(x), { to: 1 })],
  ])("%s", (_, [low, high], draw) => {
    const { graph, y } = drawn(draw);
    expect(rangeOf(y)).toEqual({ low, high });
    const values = Array.from(evaluateGraph(graph, { x }).y.numbers());
    expect(Math.min(...values)).toBeGreaterThanOrEqual(low);
    expect(Math.max(...values)).toBeLessThanOrEqual(high);
  });

  test.each<[string, (g: Builder, x: Value) => Value]>([
    ["an input", (_, x) => x],
    ["Relu, open above", (g, x) => g.Relu(x)],
    ["LogSoftmax", (g, x) => g.LogSoftmax(x)],
    ["a sum", (g, x) => g.Add(g.Sigmoid(x), g.Sigmoid(x))],
    ["a total", (g, x) => g.ReduceSum(g.Sigmoid(x), g.ints([1]))],
    ["joined with an open one", (g, x) => g.Concat(g.Sigmoid(x), x, { axis: 1 })],
    ["an end that comes in", (g, x) => g.Clip(x, g.constant(0), g.ReduceMax(x, { keepdims: 0 }))],
  ])("is not claimed of %s", (_, draw) => {
    expect(rangeOf(drawn(draw).y)).toBe(null);
  });

  test("of an If is that of both branches", () => {
    const body = (op: string, name: string) =>
      `${name} () => (float[N,2] ${name}_y) { ${name}_y = ${op} (x) }`;
    const choose = (other: string) =>
      parseModel(`<ir_version: 10, opset_import: ["" : 21]>
        g (float[N,2] x, bool on) => (float[N,2] y) {
          y = If (on) <then_branch = ${body("Sigmoid", "a")}, else_branch = ${body(other, "b")}>
        }`).graph.outputs[0];
    expect(rangeOf(choose("Tanh"))).toEqual({ low: -1, high: 1 });
    expect(rangeOf(choose("Neg"))).toBe(null);
  });

  test("of a very long chain is found without the call stack", () => {
    const { y } = drawn((g, x) => {
      let value = g.Sigmoid(x);
      for (let i = 0; i < 20_000; i++) value = g.Identity(value);
      return value;
    });
    expect(rangeOf(y)).toEqual({ low: 0, high: 1 });
  });
});
