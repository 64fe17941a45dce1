import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { Graph } from "../../src/ir/graph.ts";
import { createModel } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { readModel } from "../../src/onnx/read.ts";
import { build } from "../../src/ops/builder.ts";
import { inferModel } from "../../src/ops/infer.ts";
import {
  biasOf,
  constantValue,
  isConstantExpression,
  weightRole,
  weightsOf,
} from "../../src/ops/weights.ts";
import { assets } from "../support/assets.ts";

function setup() {
  const graph = new Graph("test");
  const g = build(graph);
  const x = graph.addInput("x", "float32", ["N", 8]);
  const zeros = (...shape: number[]) =>
    g.constant(new Float32Array(shape.reduce((a, b) => a * b, 1)), { shape });
  return { graph, g, x, zeros, model: createModel(graph, 21) };
}

/** "op/input: kind out<-in" of every weight. */
function summary(model: Parameters<typeof weightsOf>[0]): string[] {
  return weightsOf(model).map(
    ({ node, index, role: { kind, outputAxis, inputAxis, groups } }) =>
      `${node.op}/${index}: ${kind} ${outputAxis}<-${inputAxis}${groups > 1 ? ` in ${groups}` : ""}`,
  );
}

test("axes of every kind of layer", () => {
  const { graph, g, x, zeros, model } = setup();
  const image = g.Reshape(x, g.ints([-1, 4, 2, 1]));
  const conv = g.Conv(image, zeros(6, 2, 1, 1), zeros(6), { group: 2 });
  const up = g.ConvTranspose(conv, zeros(6, 5, 1, 1));
  const flat = g.Flatten(up);
  const a = g.Gemm(flat, zeros(10, 7));
  const b = g.Gemm(a, zeros(3, 7), { transB: 1 });
  const right = g.MatMul(b, zeros(3, 4));
  const left = g.MatMul(zeros(2, 9, 5), g.Reshape(right, g.ints([1, 5, -1])));
  const ids = graph.addInput("ids", "int64", ["T"]);
  const table = g.Gather(zeros(100, 8), ids);
  const columns = g.Gather(zeros(8, 100), ids, { axis: 1 });
  const sequence = g.Unsqueeze(x, g.ints([0]));
  const [lstm] = g.many("LSTM", [sequence, zeros(1, 16, 8), zeros(1, 16, 4), zeros(1, 32)], {
    outputs: 1,
    attributes: { hidden_size: 4 },
  });
  graph.setOutputs([left, table, columns, lstm]);
  expect(summary(model)).toEqual([
    "Conv/1: conv 0<-1 in 2",
    "ConvTranspose/1: convtranspose 1<-0",
    "Gemm/1: linear 1<-0",
    "Gemm/1: linear 0<-1",
    "MatMul/1: linear 1<-0",
    "MatMul/0: linear 1<-2",
    "Gather/0: embedding 1<-0",
    "Gather/0: embedding 0<-1",
    "LSTM/1: recurrent 1<-2",
    "LSTM/2: recurrent 1<-2",
  ]);
});

test("a weight behind a decode chain is the end of the chain, and the chain is no layer", () => {
  const { graph, g, x, model } = setup();
  const index = g.constant(new Uint8Array(32), { dtype: "uint8", shape: [8, 4] });
  const shared = g.Gather(g.constant([0.5, -1]), g.Cast(index, { to: 6 }));
  const codes = g.constant(new Int8Array(8), { dtype: "int8", shape: [4, 2] });
  const grid = g.Mul(g.Cast(codes, { to: 1 }), g.constant([0.1, 0.2]));
  graph.setOutputs([g.MatMul(g.MatMul(x, shared), grid)]);
  expect(weightsOf(model).map(({ value }) => value)).toEqual([shared, grid]);
  expect(summary(model)).toEqual(["MatMul/1: linear 1<-0", "MatMul/1: linear 1<-0"]);
});

test("what is fed at run time is no constant, though it may be a weight's place", () => {
  const { graph, g, x, zeros, model } = setup();
  const scores = g.MatMul(x, g.Transpose(x));
  const noise = graph.add("RandomNormal", [], {
    attributes: { shape: { type: "ints", value: [8, 8] } },
  }).output;
  graph.setOutputs([scores, g.MatMul(x, noise)]);
  inferModel(model);
  expect(weightsOf(model)).toEqual([]);
  expect(isConstantExpression(scores)).toBe(false);
  expect(isConstantExpression(noise)).toBe(false);
  expect(isConstantExpression(g.Relu(zeros(2)))).toBe(true);
  expect(weightRole(scores.producer!, 1)?.kind).toBe("linear");
  expect(weightRole(scores.producer!, 2)).toBe(null);
});

test("a constant expression follows its constants", () => {
  const { graph, g } = setup();
  const base = g.constant([1, 2, 3]);
  const doubled = g.Mul(base, g.constant(2));
  const both = g.Concat(doubled, g.Neg(doubled), { axis: 0 });
  expect([...constantValue(both)!.numbers()]).toEqual([2, 4, 6, -2, -4, -6]);
  graph.setConstant(base, tensor("float32", [1], [5]));
  expect([...constantValue(both)!.numbers()]).toEqual([10, -10]);
  expect(constantValue(graph.addInput("y", "float32", [1]))).toBe(null);
});

test("a chain of 20,000 nodes does not overflow the stack", () => {
  const { graph, g, x, zeros } = setup();
  let [fed, fixed] = [x, zeros(1, 8)];
  for (let i = 0; i < 20_000; i++) [fed, fixed] = [g.Relu(fed), g.Relu(fixed)];
  graph.setOutputs([g.Add(fed, fixed)]);
  expect(isConstantExpression(fed)).toBe(false);
  expect(constantValue(fixed)?.shape).toEqual([1, 8]);
});

test("biases", () => {
  const { graph, g, x, zeros } = setup();
  const bias = zeros(4);
  const gemm = g.Gemm(x, zeros(8, 4), bias);
  const product = g.MatMul(x, zeros(8, 4));
  const sum = g.Add(product, bias);
  const other = g.MatMul(x, zeros(8, 4));
  graph.setOutputs([gemm, sum, g.Add(other, sum), g.Relu(other)]);
  expect(biasOf(gemm.producer!)).toBe(bias);
  expect(biasOf(product.producer!)).toBe(bias);
  expect(biasOf(other.producer!)).toBe(null);
  expect(biasOf(sum.producer!)).toBe(null);
});

const layers: readonly (readonly [string, number])[] = [
  ["resnet20_cifar10", 20],
  ["mobilenet_v2_1.0_224_dequant", 53],
  ["kws_dscnn", 10],
  ["sst2_transformer", 14],
  // 5 layers of 7, the embedding and the classifier.
  ["stories260k", 37],
  ["silero_vad_16k_op15", 10],
];

test.each(layers)("%s has %i weights", (name, count) => {
  const file = assets(`models/${name}.onnx`);
  if (!file) return;
  const found = weightsOf(readModel(readFileSync(file)));
  expect(found.length).toBe(count);
  for (const { value, role } of found) {
    const rank = constantValue(value)?.shape.length ?? 0;
    expect(rank).toBeGreaterThan(Math.max(role.outputAxis, role.inputAxis));
  }
});
