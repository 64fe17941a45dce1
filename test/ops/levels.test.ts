/** @file Levels: what is said to fill a channel is what the evaluator fills it with. */
import { expect, test } from "vitest";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { createModel } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { levelRuleOf } from "../../src/ops/levels.ts";

const shape = [2, 1, 4, 4];
const x = tensor("float32", shape, new Float32Array(32).fill(1.5));
const one = (g: Builder, value: number): Value => g.constant([value]);

/** What y is filled with if x is 1.5 everywhere; of weights, `row` tells. */
function levels(draw: (g: Builder, x: Value) => Value, row: number | null = null) {
  const graph = new Graph("level");
  const y = draw(build(graph), graph.addInput("x", "float32", shape));
  const node = y.producer!;
  y.name = "y";
  graph.setOutputs([y]);
  inferModel(createModel(graph, 21));
  const inputs = node.inputs.map((input) => (input?.tensor ? input.tensor.numbers()[0] : 1.5));
  const told = levelRuleOf(node)?.(node, inputs, { row: () => row, isGuess: false });
  return { told, found: new Set(evaluateGraph(graph, { x }).y.numbers()) };
}

test.each<[string, (g: Builder, x: Value) => Value]>([
  ["Flatten", (g, x) => g.Flatten(x)],
  ["GlobalAveragePool", (g, x) => g.GlobalAveragePool(x)],
  ["GlobalMaxPool", (g, x) => g.GlobalMaxPool(x)],
  ["MaxPool", (g, x) => g.MaxPool(x, { kernel_shape: [2, 2] })],
  ["Transpose", (g, x) => g.Transpose(x, { perm: [3, 2, 1, 0] })],
  ["Unsqueeze", (g, x) => g.Unsqueeze(x, g.ints([0]))],
  ["Tanh", (g, x) => g.Tanh(x)],
  ["Mul", (g, x) => g.Mul(x, one(g, 3))],
  [
    "BatchNormalization",
    (g, x) => g.BatchNormalization(x, one(g, 2), one(g, 3), one(g, 0.5), one(g, 4)),
  ],
])("%s of a constant is a constant", (_, draw) => {
  const { told, found } = levels(draw);
  expect(found.size).toBe(1);
  expect(told).toBeCloseTo([...found][0], 5);
});

const zeros = (g: Builder): Value => g.constant([0], { shape: [1, 1, 1, 1] });

test("a convolution of zeros gives its bias, one of other weights who knows what", () => {
  const { told, found } = levels((g, x) => g.Conv(x, zeros(g), one(g, 7)), 0);
  expect([told, ...found]).toEqual([7, 7]);
  expect(levels((g, x) => g.Conv(x, zeros(g), one(g, 7)), 2).told).toBe(null);
  expect(levels((g, x) => g.Conv(x, zeros(g)), 0).told).toBe(0);
});

test("a bias that is scaled is none that a channel is filled with", () => {
  const scaled = (g: Builder, x: Value): Value =>
    g.Gemm(g.Flatten(x), g.constant(new Float32Array(16), { shape: [16, 1] }), one(g, 7), {
      beta: 2,
    });
  expect(levels(scaled, 0).told).toBe(null);
  expect([...levels(scaled, 0).found]).toEqual([14]);
});
