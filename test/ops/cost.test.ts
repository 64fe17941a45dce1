import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { Graph } from "../../src/ir/graph.ts";
import { createModel } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { readModel } from "../../src/onnx/read.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { costModel } from "../../src/ops/cost.ts";
import { bindDims } from "../../src/ops/infer.ts";
import { assets } from "../support/assets.ts";

function zeros(g: Builder, ...shape: number[]) {
  const size = shape.reduce((a, b) => a * b, 1);
  return g.constant(new Float32Array(size), { shape });
}

function model(inputs: Record<string, readonly (number | string)[]>) {
  const graph = new Graph("test");
  const values = Object.entries(inputs).map(([name, dims]) =>
    graph.addInput(name, "float32", dims),
  );
  return { graph, values, g: build(graph), model: createModel(graph, 21) };
}

test("LeNet-5 (Caffe's: 20 and 50 filters, 500 neurons): 2,293,000 MACs and 431,080 parameters", () => {
  const { graph, g, values, model: lenet } = model({ x: ["N", 1, 28, 28] });
  const pool = { kernel_shape: [2, 2], strides: [2, 2] };
  const a = g.MaxPool(g.Conv(values[0], zeros(g, 20, 1, 5, 5), zeros(g, 20)), pool);
  const b = g.MaxPool(g.Conv(a, zeros(g, 50, 20, 5, 5), zeros(g, 50)), pool);
  const c = g.Relu(g.Gemm(g.Flatten(b), zeros(g, 800, 500), zeros(g, 500)));
  const y = g.Gemm(c, zeros(g, 10, 500), zeros(g, 10), { transB: 1 });
  graph.setOutputs([y]);
  const { macs, params, perNode } = costModel(lenet);
  // 24^2 25 20 + 8^2 25 20 50 + 800 500 + 500 10
  expect(macs).toBe(288_000 + 1_600_000 + 400_000 + 5_000);
  expect(params).toBe(520 + 25_050 + 400_500 + 5_010);
  expect([...perNode.values()].map((cost) => cost.macs)).toEqual([
    288_000, 0, 1_600_000, 0, 0, 400_000, 0, 5_000,
  ]);
  expect(costModel(lenet, { dims: { N: 3 } }).macs).toBe(3 * 2_293_000);
  expect(costModel(lenet, { dims: { "x.0": 2 } }).macs).toBe(2 * 2_293_000);
});

test("layers against their closed forms", () => {
  const { graph, g, values, model: m } = model({ x: [2, 6, 10, 12], s: [7, 2, 5], q: [2, 3, 4] });
  const [x, s, q] = values;
  // Groups divide what each output sums over; strides divide the positions.
  const grouped = g.Conv(x, zeros(g, 9, 2, 3, 5), { group: 3, strides: [2, 2] });
  const up = g.ConvTranspose(x, zeros(g, 6, 4, 2, 2), { strides: [2, 2], group: 2 });
  const [lstm] = g.many("LSTM", [s, zeros(g, 2, 24, 5), zeros(g, 2, 24, 6)], {
    outputs: 3,
    attributes: { hidden_size: 6, direction: "bidirectional" },
  });
  const [gru] = g.many("GRU", [s, zeros(g, 1, 18, 5), zeros(g, 1, 18, 6)], {
    outputs: 2,
    attributes: { hidden_size: 6 },
  });
  const batched = g.MatMul(q, g.Transpose(q, { perm: [0, 2, 1] }));
  const einsum = g.Einsum(q, q, { equation: "bij,bkj->bik" });
  const [packed] = g.many(
    "MatMulNBits",
    [q, g.constant(new Uint8Array(8 * 8), { dtype: "uint8", shape: [8, 1, 8] }), zeros(g, 8)],
    {
      outputs: 1,
      domain: "com.microsoft",
      attributes: { K: 4, N: 8, bits: 4, block_size: 16 },
    },
  );
  graph.setOutputs([grouped, up, lstm, gru, batched, einsum, packed]);
  const { perNode } = costModel(m);
  const macs = [...perNode]
    .filter(([, cost]) => cost.macs)
    .map(([{ op }, cost]) => [op, cost.macs]);
  expect(macs).toEqual([
    ["Conv", 2 * 9 * 4 * 4 * (2 * 15)],
    ["ConvTranspose", 2 * 6 * 120 * (4 * 4)],
    ["LSTM", 7 * 2 * 2 * 4 * 6 * (5 + 6)],
    ["GRU", 7 * 2 * 3 * 6 * (5 + 6)],
    ["MatMul", 2 * 3 * 3 * 4],
    ["Einsum", 2 * 3 * 3 * 4],
    ["MatMulNBits", 2 * 3 * 8 * 4],
  ]);
  expect([...perNode].find(([{ op }]) => op === "MatMulNBits")?.[1].params).toBe(32);
});

test("tied weights count once, decoded ones as what they stand for, shapes and scales not at all", () => {
  const { graph, g, values, model: m } = model({ x: [5, 16] });
  const [x] = values;
  const tied = zeros(g, 16, 16);
  const twice = g.MatMul(g.MatMul(x, tied), g.Transpose(tied));
  const index = g.constant(new Uint8Array(160), { dtype: "uint8", shape: [16, 10] });
  const shared = g.Gather(g.constant(new Float32Array(4)), g.Cast(index, { to: 6 }));
  const codes = g.constant(new Int8Array(100), { dtype: "int8", shape: [10, 10] });
  const scale = g.constant(new Float32Array(10).fill(1));
  const quantized = g.DequantizeLinear(codes, scale, { axis: 1 });
  const y = g.MatMul(g.MatMul(twice, shared), quantized);
  const scaled = g.Mul(y, g.constant(0.5));
  graph.setOutputs([g.Reshape(scaled, g.ints([1, 50]))]);
  expect(costModel(m).params).toBe(256 + 160 + 100);
  expect(costModel(m).macs).toBe(2 * 5 * 256 + 5 * 160 + 5 * 100);
});

test("an If costs its dearer branch, an unknown operator is not known", () => {
  const { graph, values, model: m } = model({ x: [4, 8] });
  const condition = graph.addInput("c", "bool", []);
  const branch = (columns: number): Graph => {
    const body = new Graph("branch");
    const g = build(body);
    body.setOutputs([g.MatMul(values[0], zeros(g, 8, columns))]);
    return body;
  };
  const node = graph.add("If", [condition], {
    attributes: {
      then_branch: { type: "graph", value: branch(3) },
      else_branch: { type: "graph", value: branch(5) },
    },
  });
  graph.setOutputs([node.output]);
  expect(costModel(m).macs).toBe(4 * 8 * 5);
  graph.setOutputs([graph.add("Mystery", [node.output], { domain: "example" }).output]);
  expect(costModel(m).macs).toBe(null);
});

test("an embedding in 4-bit blocks: two codes per byte", () => {
  const { graph, g, model: m } = model({});
  const ids = graph.addInput("ids", "int64", ["T"]);
  const codes = g.constant(new Uint8Array(7 * 16), { dtype: "uint8", shape: [7, 16] });
  const [rows] = g.many("GatherBlockQuantized", [codes, ids, zeros(g, 7, 2)], {
    outputs: 1,
    domain: "com.microsoft",
    attributes: { gather_axis: 0, quantize_axis: 1, block_size: 16, bits: 4 },
  });
  graph.setOutputs([rows]);
  const bound = bindDims(m, { T: 5 });
  expect([bound.graph.outputs[0].dtype, bound.graph.outputs[0].shape]).toEqual([
    "float32",
    [5, 32],
  ]);
  expect(costModel(m)).toMatchObject({ macs: 0, params: 7 * 32 });
});

test("parameters do not depend on inference having run", () => {
  const { graph, g, values, model: m } = model({ x: ["N", 3, 8, 8] });
  const half = g.constant(tensor("float16", [4, 3, 1, 1], new Float32Array(12)));
  graph.setOutputs([g.Conv(values[0], g.Cast(half, { to: 1 }))]);
  expect(costModel(m).params).toBe(12);
});

const published: readonly (readonly [string, number, number])[] = [
  // Stages of 16, 32 and 64 channels on 32^2, 16^2 and 8^2 pixels; shortcuts without weights.
  ["resnet20_cifar10", 442_368 + 14_155_776 + 2 * 12_976_128 + 640, 269_722],
  // The same behind a Pad computed from shapes.
  ["resnet20_cifar10_torchexport", 40_551_040, 269_722],
  // The same with two 1x1 shortcuts: the 40.8 M of the literature. Two of the biases are tied.
  ["distiller_resnet20_ch_regularized_dense", 40_551_040 + 2 * 131_072, 272_474 - (64 + 32)],
  // Sandler et al. 2018: 300 M; one class more than ImageNet's 1000.
  ["mobilenet_v2_1.0_224_dequant", 300_774_272 + 1_280 + 0, 3_489_097],
  ["mnist_cntk", 28 * 28 * 25 * 8 + 14 * 14 * 25 * 8 * 16 + 2_560, 5_994],
];

test.each(published)("%s", (name, macs, params) => {
  const file = assets(`models/${name}.onnx`);
  if (!file) return;
  const cost = costModel(readModel(readFileSync(file)));
  expect(cost.macs).toBe(macs);
  expect(cost.params).toBe(params);
});
