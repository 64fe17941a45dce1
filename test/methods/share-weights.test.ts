/** @file Shared weights: importances from data, and codebooks whose indices are cheap to code. */
import { expect, test } from "vitest";
import type { Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { packSmallest } from "../../src/measure/pack.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { apply, environmentOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel, partOf, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(11);
const normal = (size: number): Float32Array => Float32Array.from({ length: size }, random.normal);
const [records, inputs, outputs] = [40, 6, 12];
const W = normal(outputs * inputs);
/** The fourth input is large, the fifth is never seen. */
const scales = [1, 0.3, 2, 9, 0, 0.1];
const x = normal(records * inputs).map((value, i) => value * scales[i % inputs]);
const model = layerModel(["N", inputs], (g, input) =>
  g.Gemm(input, g.constant(W, { shape: [outputs, inputs] }), null, { transB: 1 }),
);
const data = tensorDataset({ x: tensor("float32", [records, inputs], x) });
const env = environmentOf(
  { ...nets[0], model },
  {
    calibration: data,
    training: data,
    feeds: { x: tensor("float32", [2, inputs], x.slice(0, 12)) },
  },
);

/** Least weighted error of W over all ways to cut its sorted values into four runs. */
function exhaustive(h: ArrayLike<number>): number {
  const order = [...W.keys()].sort((a, b) => W[a] - W[b]);
  const spread = (from: number, to: number): number => {
    const run = order.slice(from, to);
    const mass = run.reduce((sum, i) => sum + h[i], 0);
    const mean = run.reduce((sum, i) => sum + h[i] * W[i], 0) / mass;
    return run.reduce((sum, i) => sum + h[i] * (W[i] - mean) ** 2, 0);
  };
  const n = order.length;
  const table = Array.from({ length: n }, (_, a) =>
    Array.from({ length: n + 1 }, (_, b) => (b > a ? spread(a, b) : 0)),
  );
  let best = Number.POSITIVE_INFINITY;
  for (let a = 1; a < n - 2; a++) {
    for (let b = a + 1; b < n - 1; b++) {
      for (let c = b + 1; c < n; c++) {
        best = Math.min(best, table[0][a] + table[a][b] + table[b][c] + table[c][n]);
      }
    }
  }
  return best;
}

/** sum_i h_i (w_i - w'_i)^2. */
const errorOf = (found: Model, h: ArrayLike<number>): number => {
  const [{ weight }] = weightsIn(found);
  return W.reduce((sum, w, i) => sum + h[i] * (w - weight.values[i]) ** 2, 0);
};

/** For y = W x both are E[x_j^2] up to a factor: the Fisher diagonal of a linear layer. */
const squares = scales.map((_, j) => {
  let sum = 0;
  for (let r = 0; r < records; r++) sum += x[r * inputs + j] ** 2 / records;
  return sum;
});
const mean = squares.reduce((a, b) => a + b, 0) / inputs;
const importance = Array.from(W, (_, i) => squares[i % inputs] + 0.02 * mean);

test("sensitivity=hessian minimizes the error weighted by E[x_j^2], to the exhaustive optimum", async () => {
  const options = { bits: 2, init: "optimal", sensitivity: "hessian" };
  const { model: shared, warnings } = await apply(model, "share-weights", options, env);
  expect(warnings).toEqual([]);
  const best = exhaustive(importance);
  expect(errorOf(shared, importance) / best).toBeCloseTo(1, 5);
  const plain = await apply(model, "share-weights", { ...options, sensitivity: "none" }, env);
  expect(errorOf(plain.model, importance)).toBeGreaterThan(1.15 * best);
  expect(errorOf(plain.model, new Array(W.length).fill(1))).toBeCloseTo(
    exhaustive(new Array(W.length).fill(1)),
    5,
  );
});

test("sensitivity=gradient weights inputs by how far they move the outputs", async () => {
  const options = { bits: 2, init: "optimal", sensitivity: "gradient", records };
  const { model: shared } = await apply(model, "share-weights", options, env);
  // Random projections of the outputs give the Fisher diagonal up to noise.
  expect(errorOf(shared, importance)).toBeLessThan(1.05 * exhaustive(importance));
});

test("a part of a form, of which data say nothing, is shared with a warning", async () => {
  const form = layerModel(["N", 64], (g, input) =>
    g.Gemm(input, g.constant(normal(64 * 64), { shape: [64, 64] }), null, { transB: 1 }),
  );
  const given = environmentOf(
    { ...nets[0], model: form },
    { calibration: tensorDataset({ x: tensor("float32", [3, 64], normal(3 * 64)) }) },
  );
  const hashed = await apply(form, "hash-weights", { ratio: 4 }, given);
  const options = { bits: 4, sensitivity: "hessian" };
  const { warnings } = await apply(hashed.model, "share-weights", options, given);
  expect(warnings).toEqual(["layer1 stores a part of a form: its weights count alike"]);
});

test("a penalty makes the packed file smaller than fewer bits of the same error would", async () => {
  const shape = [96, 64];
  const heavy = normal(96 * 64).map((w) => w ** 3);
  const big = layerModel(["N", 64], (g, input) =>
    g.Gemm(input, g.constant(heavy, { shape }), null, { transB: 1 }),
  );
  const measure = async (options: Record<string, unknown>) => {
    const { model: made } = await apply(big, "share-weights", options, env);
    const [{ weight }] = weightsIn(made);
    const error = heavy.reduce((sum, w, i) => sum + (w - weight.values[i]) ** 2, 0);
    const source = { bytes: concat(writeModel(made)) };
    const { bytes } = packSmallest({ name: "m", source, model: made });
    return { error, packed: bytes.length, entries: partOf(weight, "codebook").length };
  };
  const plain = await measure({ bits: 4, init: "optimal" });
  const priced = await measure({ bits: 5, penalty: 0.02 });
  expect(priced.entries).toBeLessThan(32);
  expect(priced.error).toBeLessThan(plain.error);
  expect(priced.packed).toBeLessThan(plain.packed);
});
