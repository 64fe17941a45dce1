/** @file What is said of linear layers, held against what they compute. */
import { expect, test } from "vitest";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { createModel } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { biasInputOf, biasReadBy } from "../../src/ops/bias.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { factorBeside, linearOf, whyNotRight } from "../../src/ops/linear.ts";

const random = createRandom(8);
const numbers = (size: number): number[] => Array.from({ length: size }, () => random.normal());

/** y = draw(a, b, c) for inputs of these shapes. */
function layer(
  shapes: readonly (readonly number[])[],
  draw: (g: Builder, inputs: readonly Value[]) => Value,
) {
  const graph = new Graph("layer");
  const inputs = shapes.map((shape, i) => graph.addInput("abc"[i], "float64", shape));
  const y = draw(build(graph), inputs);
  const node = y.producer!;
  y.name = "y";
  graph.setOutputs([y]);
  inferModel(createModel(graph, 21));
  const values = shapes.map((shape) => numbers(shape.reduce((p, dim) => p * dim, 1)));
  const feeds = Object.fromEntries(
    shapes.map((shape, i) => ["abc"[i], tensor("float64", shape, values[i])]),
  );
  return { node, inputs, values, y: Array.from(evaluateGraph(graph, feeds).y.numbers()) };
}

const attributes = [
  {},
  { transA: 1, alpha: 0.5 },
  { transB: 1, beta: 2 },
  { transA: 1, transB: 1, alpha: -1, beta: 0.25 },
];

test.each(attributes)("Gemm %j: y = alpha A B + beta c, transposed as it says", (given) => {
  const [m, k, n] = [2, 3, 4];
  const { transA = 0, transB = 0 } = given as { transA?: number; transB?: number };
  const shapes = [transA ? [k, m] : [m, k], transB ? [n, k] : [k, n], [n]];
  const { node, inputs, values, y } = layer(shapes, (g, [a, b, c]) => g.Gemm(a, b, c, given));
  const { alpha, beta, turned, kind } = linearOf(node)!;
  const [a, b, c] = values;
  const at = (matrix: number[], isTurned: boolean, row: number, column: number, size: number[]) =>
    isTurned ? matrix[column * size[0] + row] : matrix[row * size[1] + column];
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let l = 0; l < k; l++) {
        sum += at(a, turned[0], i, l, [m, k]) * at(b, turned[1], l, j, [k, n]);
      }
      expect(y[i * n + j]).toBeCloseTo(alpha * sum + beta * c[j], 12);
    }
  }
  expect(kind).toBe("product");
  expect(factorBeside({ node, index: 1 })).toBe(inputs[0]);
  expect(whyNotRight({ node, index: 1 })).toBe(transA ? "its input is transposed" : null);
  expect(whyNotRight({ node, index: 0 })).toBe("its weight is the left operand");
  expect(biasReadBy(node)).toEqual({ value: inputs[2], node, index: 2 });
});

test.each(["Conv", "ConvTranspose"] as const)(
  "%s: channels lie along axis 1, sums are unscaled",
  (op) => {
    const shapes = [[1, 2, 3], [2, 2, 1], [2]];
    const { node, values, y } = layer(shapes, (g, [x, w, b]) => g[op](x, w, b));
    const { kind, channelAxis, alpha, beta } = linearOf(node)!;
    expect(kind).toBe(op.toLowerCase());
    expect([channelAxis, alpha, beta]).toEqual([1, 1, 1]);
    const [x, w, b] = values;
    for (let channel = 0; channel < 2; channel++) {
      for (let i = 0; i < 3; i++) {
        const [first, second] =
          op === "Conv" ? [2 * channel, 2 * channel + 1] : [channel, 2 + channel];
        const sum = w[first] * x[i] + w[second] * x[3 + i];
        expect(y[channel * 3 + i]).toBeCloseTo(alpha * sum + beta * b[channel], 12);
      }
    }
    expect(biasInputOf(node)).toBe(2);
  },
);

test("a product's bias is in the sum that alone reads it", () => {
  const graph = new Graph("bias");
  const g = build(graph);
  const x = graph.addInput("x", "float32", ["N", 2]);
  const product = g.MatMul(x, g.constant([1, 2, 3, 4], { shape: [2, 2] }));
  const bias = g.constant([1, 2]);
  const sum = g.Add(bias, product);
  graph.setOutputs([sum]);
  expect(biasReadBy(product.producer!)).toEqual({ value: bias, node: sum.producer, index: 0 });
  expect(biasInputOf(product.producer!)).toBe(null);
  graph.setOutputs([sum, product]);
  expect(biasReadBy(product.producer!)).toBe(null);
});

test("what samples its input, or reads integers, is none of them", () => {
  for (const op of ["DeformConv", "ConvInteger", "QLinearConv", "MatMulInteger", "Add"]) {
    const graph = new Graph(op);
    const x = graph.addInput("x", "float32", [1]);
    const node = graph.add(op, [x, x, x]);
    expect(linearOf(node)).toBe(null);
  }
});
