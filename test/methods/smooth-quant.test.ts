/** @file SmoothQuant against its equation worked by hand; the function stays; int8 gains by it. */
import { expect, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import type { Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { relativeError } from "../support/error.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(31);
const normal = (size: number, scale = 1): Float32Array =>
  Float32Array.from({ length: size }, () => random.normal() * scale);
const envOf = (x: ReturnType<typeof tensor>) =>
  environmentOf(nets[0], { calibration: tensorDataset({ x }), feeds: { x } });
const bytesOf = (model: Model): Uint8Array => concat(writeModel(model));
const ops = (model: Model): string[] => model.graph.sorted().map(({ op }) => op);
const floats = (value: Value | null): number[] => [...(value?.tensor?.floats() ?? [])];

test("s = max|x|^a / max|W|^(1 - a), shared by what reads the same value", async () => {
  // x -> Mul, Add (the scale and shift of a normalization) -> two layers.
  const model = layerModel([2, 2], (g, x) => {
    const y = g.Add(g.Mul(x, g.constant([8, 1])), g.constant([8, 0]));
    const first = g.MatMul(y, g.constant([1, 2, 3, -4], { shape: [2, 2] }));
    const second = g.Gemm(y, g.constant([0.5, 4, 1, 1], { shape: [2, 2] }), null, { transB: 1 });
    return g.Add(first, second);
  });
  const x = tensor("float32", [2, 2], [1, -4, -0.5, 2]);
  const { model: smooth, bytes } = await apply(model, "smooth-quant", { alpha: 0.5 }, envOf(x));
  // max|y| = 16, 4. Rows of the MatMul: max 2, 4; columns of the Gemm: max 1, 4: together 2, 4.
  const s = [Math.sqrt(16 / 2), Math.sqrt(4 / 4)];
  const [mul, add, matmul, gemm] = smooth.graph.sorted();
  const near = (value: Value | null, expected: number[]): void => {
    for (const [i, v] of floats(value).entries()) expect(v).toBeCloseTo(expected[i], 5);
  };
  near(mul.inputs[1], [8 / s[0], 1 / s[1]]);
  near(add.inputs[1], [8 / s[0], 0]);
  near(matmul.inputs[1], [1 * s[0], 2 * s[0], 3 * s[1], -4 * s[1]]);
  near(gemm.inputs[1], [0.5 * s[0], 4 * s[1], 1 * s[0], 1 * s[1]]);
  const [a, b] = [bytesOf(model), bytes].map((file) => outputsOf(file, { x }));
  expect(relativeError(await a, await b)).toBeLessThan(1e-6);
});

/** A block of a transformer before attention is applied, with outlier channels in its norms. */
function block(depth: number, outliers: boolean): Model {
  const weight = (g: Builder, rows: number, columns: number): Value =>
    g.constant(normal(rows * columns, 1 / Math.sqrt(rows)), { shape: [rows, columns] });
  const gain = (g: Builder): Value =>
    g.constant(Float32Array.from({ length: depth }, (_, c) => (outliers && c % 8 === 3 ? 60 : 1)));
  return layerModel(["N", 6, depth], (g, x) => {
    const norm = (y: Value): Value =>
      g.LayerNormalization(y, gain(g), g.constant(normal(depth, 0.1)));
    const small = (columns: number): Value => {
      const w = normal(depth * columns, 1 / Math.sqrt(depth));
      // Weights of outlier channels are small, as training makes them.
      const values = w.map((v, i) => (outliers && Math.floor(i / columns) % 8 === 3 ? v / 60 : v));
      return g.constant(values, { shape: [depth, columns] });
    };
    const y = norm(x);
    const [q, k, v] = [0, 1, 2].map(() => g.MatMul(y, small(depth)));
    const scores = g.Softmax(g.MatMul(q, g.Transpose(k, { perm: [0, 2, 1] })), { axis: -1 });
    const z = g.Add(x, g.MatMul(g.MatMul(scores, v), weight(g, depth, depth)));
    const hidden = g.Gelu(
      g.Add(g.MatMul(norm(z), small(2 * depth)), g.constant(normal(2 * depth))),
    );
    return g.Add(z, g.MatMul(hidden, weight(g, 2 * depth, depth)));
  });
}

const depth = 32;
const records = tensor("float32", [32, 6, depth], normal(32 * 6 * depth));
const env = envOf(records);

test("int8 after it is closer to the original; alone it changes nothing", async () => {
  const model = block(depth, true);
  const original = outputsOf(bytesOf(model), { x: records });
  const smooth = await apply(model, "smooth-quant", {}, env);
  // Only the names of scaled values are longer.
  const text = Buffer.from(smooth.bytes).toString("latin1").replaceAll("_eq", "");
  expect(text.length).toBe(bytesOf(model).length);
  expect(relativeError(await original, await outputsOf(smooth.bytes, { x: records }))).toBeLessThan(
    1e-6,
  );
  const names = smooth.skipped.map(({ node }) => node);
  const layers = model.graph.sorted().filter(({ op }) => op === "MatMul");
  // What reads the product with the values of attention, and what follows the Gelu.
  expect(names).toEqual([layers[5].name, layers[7].name]);
  for (const { reason } of smooth.skipped) expect(reason).toMatch(/^keeps its scales: \S/);
  const errorOf = async (start: Model): Promise<number> => {
    const { bytes } = await apply(start, "quantize-int8", {}, env);
    const outputs = await outputsOf(bytes, { x: records });
    const [a, b] = [(await original).y.floats(), outputs.y.floats()];
    return Math.sqrt(a.reduce((sum, v, i) => sum + (v - b[i]) ** 2, 0));
  };
  const [before, after] = [await errorOf(model), await errorOf(smooth.model)];
  expect(after).toBeLessThan(0.6 * before);
});

test("insert=true divides by a node of its own where nothing can be folded", async () => {
  const model = block(depth, true);
  const {
    model: smooth,
    bytes,
    skipped,
  } = await apply(model, "smooth-quant", { insert: true }, env);
  expect(skipped).toEqual([]);
  const count = (of: Model): number => ops(of).filter((op) => op === "Mul").length;
  expect(count(smooth)).toBe(count(model) + 2);
  const [a, b] = [bytesOf(model), bytes].map((file) => outputsOf(file, { x: records }));
  expect(relativeError(await a, await b)).toBeLessThan(2e-6);
});

test("a gated layer is scaled through one of its factors, not through both", async () => {
  const square = (g: Builder): Value => g.constant(normal(64), { shape: [8, 8] });
  const model = layerModel(["N", 8], (g, x) => {
    const up = g.MatMul(x, square(g));
    const gate = g.Sigmoid(g.MatMul(x, square(g)));
    return g.MatMul(g.Mul(gate, up), square(g));
  });
  const x = tensor("float32", [16, 8], normal(128));
  const { model: smooth, bytes } = await apply(model, "smooth-quant", {}, envOf(x));
  const weights = (of: Model) =>
    of.graph
      .sorted()
      .filter(({ op }) => op === "MatMul")
      .map(({ inputs }) => floats(inputs[1]));
  const moved = weights(smooth).map((w, i) => w.some((v, j) => v !== weights(model)[i][j]));
  expect(moved.filter((each) => each).length).toBe(2);
  const [a, b] = [bytesOf(model), bytes].map((file) => outputsOf(file, { x }));
  expect(relativeError(await a, await b)).toBeLessThan(2e-6);
});
