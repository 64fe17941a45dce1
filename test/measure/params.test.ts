/** @file Stored numbers of models whose weights were made up, counted by hand. */
import { expect, test } from "vitest";
import { roundInGraph } from "../../src/int8/rounded.ts";
import type { Value } from "../../src/ir/graph.ts";
import type { Model } from "../../src/ir/model.ts";
import { countParams } from "../../src/measure/params.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { costModel } from "../../src/ops/cost.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { expand } from "../../src/weights/expand.ts";
import { codebookOf } from "../../src/weights/forms/codebook.ts";
import { gridOf } from "../../src/weights/forms/grid.ts";
import { fitHashed } from "../../src/weights/forms/hashed.ts";
import { kronecker } from "../../src/weights/forms/kronecker.ts";
import { quantized } from "../../src/weights/forms/quantized.ts";
import { composed, leaf, type Weight, wholeLeaf } from "../../src/weights/weight.ts";
import { layerModel } from "../support/layer.ts";

const random = createRandom(3);
const normal = (n: number) => Float32Array.from({ length: n }, () => random.normal());
/** n numbers of which every tenth is not zero. */
const sparse = (n: number) => normal(n).map((x, i) => (i % 10 === 0 ? x : 0));
const levels = (n: number) => Int8Array.from({ length: n }, (_, i) => (i % 15) - 7);

/** y = x W + b with W [rows, columns]; written and read, as a file is. */
function withWeight(weight: Weight, bias = true): Model {
  const [rows, columns] = weight.shape;
  const model = layerModel(["N", rows], (g, x) => {
    const product = g.MatMul(x, expand(g, weight));
    return bias ? g.Add(product, g.constant(normal(columns), { shape: [columns] })) : product;
  });
  const read = readModel(concat(writeModel(model)), { name: "made up" });
  inferModel(read);
  return read;
}

const counted = (model: Model) => {
  const { params, nonzeros } = countParams(model, costModel(model));
  return { params, nonzeros };
};

const shape = [64, 40];
const n = 64 * 40;
const bias = 40;

test("plain numbers: all of them; zeros are stored, too", () => {
  const dense = normal(n).map((x, i) => (i % 20 === 0 ? 0 : x));
  expect(counted(withWeight(leaf(dense, shape)))).toEqual({
    params: n + bias,
    nonzeros: n - n / 20 + bias,
  });
});

test("pruned and stored without its zeros: the kept ones, whatever tells their places", () => {
  for (const coding of ["float32", "float16"] as const) {
    const kept = n / 10 + bias;
    const values = sparse(n).map((x) => Math.round(8 * x) / 8 || (x && 1));
    expect(counted(withWeight(leaf(values, shape, coding)))).toEqual({
      params: kept,
      nonzeros: kept,
    });
  }
});

test("rounding to 4 bits stores no fewer numbers, and a scale per column more", () => {
  const scales = normal(40).map(Math.abs);
  const grid = gridOf(levels(n), shape, { scales, axis: 1, block: null, bits: 4 });
  const zeros = levels(n).filter((q) => q === 0).length;
  expect(counted(withWeight(grid))).toEqual({
    params: n + 40 + bias,
    nonzeros: n + 40 - zeros + bias,
  });
});

test("a codebook: an index per weight, and the entries", () => {
  const codebook = Float32Array.of(0, 0.5, -0.5, 1.5);
  const index = Uint16Array.from({ length: n }, (_, i) => i % 4);
  expect(counted(withWeight(codebookOf({ codebook, index }, shape)))).toEqual({
    params: n + 4 + bias,
    nonzeros: n + 4 - n / 4 + bias,
  });
});

test("a pruned codebook: the indices of what was kept", () => {
  const codebook = Float32Array.of(0, 0.5, -0.5, 1.5);
  const index = Uint16Array.from({ length: n }, (_, i) => (i % 10 === 0 ? 1 + ((i / 10) % 3) : 0));
  const kept = n / 10 + 4 + bias;
  expect(counted(withWeight(codebookOf({ codebook, index }, shape)))).toEqual({
    params: kept,
    nonzeros: kept,
  });
});

test("HashedNets: the shared values and two seeds", () => {
  const hashed = fitHashed(normal(n), shape, 320, random);
  expect(counted(withWeight(hashed))).toEqual({ params: 322 + bias, nonzeros: 322 + bias });
});

const factor = (dims: number[]) => leaf(normal(dims.reduce((a, b) => a * b)), dims);
const product = (a: Weight, b: Weight) => composed(kronecker, shape, { a, b });

test("a Kronecker product: its factors; rounded factors, with their scales", () => {
  const [a, b] = [
    [8, 8, 2],
    [2, 8, 5],
  ];
  const size = 128 + 80 + bias;
  expect(counted(withWeight(product(factor(a), factor(b))))).toEqual({
    params: size,
    nonzeros: size,
  });
  const rounded = gridOf(levels(128), a, { scales: Float32Array.of(0.1), axis: null, block: null });
  const zeros = levels(128).filter((q) => q === 0).length;
  expect(counted(withWeight(product(rounded, factor(b))))).toEqual({
    params: size + 1,
    nonzeros: size + 1 - zeros,
  });
  // Pruned factors have fewer numbers.
  const pruned = leaf(sparse(1280), [32, 20, 2]);
  expect(counted(withWeight(product(pruned, factor([2, 2, 2]))))).toEqual({
    params: 128 + 8 + bias,
    nonzeros: 128 + 8 + bias,
  });
});

test("rounded for integer kernels when the model is loaded: the form below, and stored scales", () => {
  const [perColumn] = quantized.filter(({ kind }) => kind === "quantized along axis 1");
  const inner = product(factor([8, 8, 2]), factor([2, 8, 5]));
  const weight = composed(perColumn, shape, {
    weight: inner,
    scale: leaf(normal(40).map(Math.abs), [40]),
    zero_point: wholeLeaf(new Int8Array(40), [40], true),
  });
  expect(counted(withWeight(weight)).params).toBe(128 + 80 + 40 + 40 + bias);
  // Scales and zero points that nodes compute from the weight are not stored.
  const model = layerModel(["N", 64], (g, x) => {
    const { levels, scale, zeroPoint } = roundInGraph(g, expand(g, inner), shape, 1, 8);
    return g.MatMul(x, g.DequantizeLinear(levels, scale, zeroPoint, { axis: 1 }));
  });
  expect(counted(model).params).toBe(128 + 80);
});

test("parts that two weights share count once", () => {
  const model = layerModel(["N", 64], (g, x) => {
    const shared = g.constant(Float32Array.of(0, 0.5, -0.5, 1.5), { shape: [4] });
    const index = (at: number) =>
      g.constant(
        Int32Array.from({ length: 64 * 64 }, (_, i) => (i + at) % 4),
        { dtype: "int32", shape: [64, 64] },
      );
    const layer = (input: Value, at: number) =>
      g.MatMul(input, g.Gather(shared, index(at), { axis: 0 }));
    return layer(layer(x, 0), 1);
  });
  expect(counted(model).params).toBe(2 * 64 * 64 + 4);
});

test("a weight that two layers share counts once, also where one of them transposes it", () => {
  const draw = (weight: Weight) => (g: Builder, x: Value) => {
    const shared = expand(g, weight);
    return g.MatMul(g.MatMul(x, shared), g.Transpose(shared, { perm: [1, 0] }));
  };
  const tied = (weight: Weight) => counted(layerModel(["N", 64], draw(weight)));
  const zeros = normal(n).map((x, i) => (i % 20 === 0 ? 0 : x));
  expect(tied(leaf(zeros, shape))).toEqual({ params: n, nonzeros: n - n / 20 });
  expect(tied(fitHashed(normal(n), shape, 320, random)).params).toBe(322);
});

test("each layer's own numbers", () => {
  const model = withWeight(fitHashed(normal(n), shape, 320, random));
  const { of } = countParams(model, costModel(model));
  const counts = [...model.graph.nodes].map((node) => [node.op, of(node)] as const);
  expect(counts.filter(([op]) => op === "MatMul" || op === "Gemm")).toEqual([["MatMul", 322]]);
  expect(counts.find(([op]) => op === "Add")?.[1]).toBeGreaterThanOrEqual(0);
});
