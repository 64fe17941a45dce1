/** @file Rotations and slices of hidden states: the function stays, or loses what was not there. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import type { Model } from "../../src/ir/model.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { hadamard, randomRotation } from "../../src/numeric/rotation.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { simplify } from "../../src/recipe/trial.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { relativeError } from "../support/error.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";
import { feedsOf, realModels } from "../support/real-models.ts";

const random = createRandom(5);
const normal = (size: number): Float32Array =>
  Float32Array.from({ length: size }, () => random.normal());
const bytesOf = (model: Model): Uint8Array => concat(writeModel(model));
const envOf = (x: Tensor) =>
  environmentOf(nets[0], { calibration: tensorDataset({ x }), feeds: { x } });

/** |Q Q^T - 1| of a matrix [rows, n]. */
function offIdentity(q: ArrayLike<number>, rows: number, n: number, scale = 1): number {
  let worst = 0;
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < rows; j++) {
      let sum = 0;
      for (let k = 0; k < n; k++) sum += q[i * n + k] * q[j * n + k];
      worst = Math.max(worst, Math.abs(sum / scale - (i === j ? 1 : 0)));
    }
  }
  return worst;
}

test("Hadamard matrices have entries 1 and -1 and orthogonal rows", () => {
  for (const n of [1, 2, 4, 8, 12, 20, 24, 28, 36, 60, 96]) {
    const h = hadamard(n) as Float64Array;
    expect([...h].every((x) => x === 1 || x === -1)).toBe(true);
    expect(h.subarray(0, n).every((x) => x === 1)).toBe(true);
    expect(offIdentity(h, n, n, n)).toBe(0);
  }
  for (const n of [3, 6, 10, 30, 92]) expect(hadamard(n)).toBe(null);
});

test("rotations are orthogonal, and keep the mean where they have to", () => {
  for (const kind of ["hadamard", "random"] as const) {
    for (const n of [8, 10, 12]) {
      const [q, kept] = [false, true].map((mean) => randomRotation(n, createRandom(3), kind, mean));
      for (const each of [q, kept]) expect(offIdentity(each, n, n)).toBeLessThan(1e-12);
      for (let i = 0; i < n; i++) {
        const sum = kept.subarray(i * n, (i + 1) * n).reduce((a, b) => a + b, 0);
        expect(sum).toBeCloseTo(1, 12);
      }
      expect(Math.abs(q.subarray(0, n).reduce((a, b) => a + b, 0) - 1)).toBeGreaterThan(1e-3);
    }
  }
});

const D = 16;
const heads = 2;

interface Kind {
  /** Normalization with its mean subtracted, in one node; else a root mean square in several. */
  readonly layerNorm: boolean;
  /** Something that reads the hidden states and that no rotation passes. */
  readonly spoiled?: boolean;
  /** Hidden states stay in a subspace of so many directions. */
  readonly rank?: number;
}

/** A pre-norm transformer of one block over x [N, 6, 5], whose first layer makes the hidden states. */
function transformer({ layerNorm, spoiled = false, rank = D }: Kind): Model {
  return layerModel(["N", 6, 5], (g, x) => {
    const basis = normal(rank * D);
    // Weights [rows, D] that write into the span of `rank` directions.
    const writer = (rows: number): Value => {
      const c = normal(rows * rank);
      const w = Float32Array.from({ length: rows * D }, (_, i) => {
        let sum = 0;
        for (let k = 0; k < rank; k++) {
          sum += c[Math.floor(i / D) * rank + k] * basis[k * D + (i % D)];
        }
        return sum / Math.sqrt(rows * rank);
      });
      return g.constant(w, { shape: [rows, D] });
    };
    const reader = (columns: number): Value =>
      g.constant(
        normal(D * columns).map((w) => w / 4),
        { shape: [D, columns] },
      );
    const vector = (size: number): Value => g.constant(normal(size));
    const norm = (v: Value): Value => {
      const scale = g.constant(normal(D).map((s) => 1 + s / 3));
      if (layerNorm) return g.LayerNormalization(v, scale, vector(D), { epsilon: 1e-3 });
      const mean = g.ReduceMean(g.Pow(v, g.constant(2)), g.ints([-1]), { keepdims: 1 });
      const inverse = g.Div(g.constant(1), g.Sqrt(g.Add(mean, g.constant(1e-3))));
      return g.Mul(g.Mul(v, inverse), scale);
    };
    let h = g.MatMul(x, writer(5));
    if (rank === D) h = g.Add(h, vector(D));
    const n = norm(h);
    const split = (v: Value) =>
      g.Transpose(g.Reshape(v, g.ints([0, 0, heads, D / heads])), { perm: [0, 2, 1, 3] });
    const [q, k] = [split(g.MatMul(n, reader(D))), split(g.MatMul(n, reader(D)))];
    const v = split(g.Add(g.MatMul(n, reader(D)), vector(D)));
    const p = g.Softmax(g.MatMul(q, g.Transpose(k, { perm: [0, 1, 3, 2] })), { axis: -1 });
    const mixed = g.Transpose(g.MatMul(p, v), { perm: [0, 2, 1, 3] });
    h = g.Add(h, g.MatMul(g.Reshape(mixed, g.ints([0, 0, D])), writer(D)));
    const up = g.Gemm(g.Reshape(norm(h), g.ints([-1, D])), reader2(g), vector(24), { transB: 1 });
    h = g.Add(h, g.Reshape(g.MatMul(g.Relu(up), writer(24)), g.ints([-1, 6, D])));
    const end = spoiled ? g.Relu(h) : norm(h);
    // Mean over tokens between the last normalization and the layer that reads it.
    return g.MatMul(g.ReduceMean(end, g.ints([1], "axes"), { keepdims: 0 }), reader(3));
  });
}
/** [24, D], the transposed weight of a Gemm. */
const reader2 = (g: Builder): Value =>
  g.constant(
    normal(24 * D).map((w) => w / 4),
    { shape: [24, D] },
  );

const x = tensor("float32", [8, 6, 5], normal(8 * 6 * 5));

test.each([
  ["root mean squares", false],
  ["layer normalizations", true],
])("a transformer with %s gives what it gave, from other weights", async (_, layerNorm) => {
  const model = transformer({ layerNorm });
  const before = await outputsOf(bytesOf(model), { x });
  for (const options of [{}, { matrix: "random" }, { values: false }, { residual: false }]) {
    const {
      model: result,
      bytes,
      skipped,
    } = await apply(model, "rotate-weights", options, envOf(x));
    expect(skipped).toEqual([]);
    expect(relativeError(before, await outputsOf(bytes, { x }))).toBeLessThan(1e-5);
    const [a, b] = [model, result].map(({ graph }) =>
      graph.sorted()[0].inputs[1]?.tensor?.floats(),
    );
    const isSame = "residual" in options;
    expect(String(a) === String(b)).toBe(isSame);
    // Each row of the first layer is as long as it was.
    const length = (w?: Float32Array) => Math.hypot(...(w?.subarray(0, D) ?? []));
    expect(length(b)).toBeCloseTo(length(a), 4);
  }
});

test("an outlier is spread: its share of the largest weight falls", async () => {
  const model = transformer({ layerNorm: false });
  const first = model.graph.sorted()[0];
  const w = Float32Array.from(first.inputs[1]?.tensor?.floats() ?? []);
  w[3] = 100;
  model.graph.setConstant(first.inputs[1] as Value, tensor("float32", [5, D], w));
  const { model: result } = await apply(model, "rotate-weights", {}, envOf(x));
  const after = result.graph.sorted()[0].inputs[1]?.tensor?.floats() ?? [];
  // 100 / sqrt(16) and the others beside it.
  expect(Math.max(...Array.from(after, Math.abs))).toBeLessThan(30);
});

test("of several draws the one with the least rounding error is taken", async () => {
  const model = transformer({ layerNorm: false });
  // |W - round(W)|^2 / |W|^2 at 4 bits, a step for each output: columns, or rows of a transposed one.
  const errorOf = ({ graph }: Model): number => {
    let total = 0;
    for (const { op, inputs } of graph.sorted()) {
      const w = inputs[1]?.tensor;
      if (w?.dtype !== "float32" || w.shape.length !== 2) continue;
      const values = w.floats();
      const [rows, columns] = w.shape;
      const outputs = op === "Gemm" ? rows : columns;
      let [error, power] = [0, 0];
      for (let o = 0; o < outputs; o++) {
        const own = values.filter(
          (_, i) => (op === "Gemm" ? Math.floor(i / columns) : i % columns) === o,
        );
        const step = Math.max(...own.map(Math.abs)) / 7;
        for (const v of own) {
          error += (v - step * Math.round(v / step)) ** 2;
          power += v * v;
        }
      }
      total += error / power;
    }
    return total;
  };
  const errors = [];
  for (const draws of [1, 2, 16]) {
    const options = { draws, values: false };
    errors.push(errorOf((await apply(model, "rotate-weights", options, envOf(x))).model));
  }
  expect(errors[1]).toBeLessThanOrEqual(errors[0] + 1e-9);
  expect(errors[2]).toBeLessThan(errors[0] * 0.98);
});

test("hidden states that something else reads are left alone, with the reason", async () => {
  const model = transformer({ layerNorm: false, spoiled: true });
  const { skipped } = await apply(model, "rotate-weights", { values: false }, envOf(x));
  expect(skipped.map(({ reason }) => reason)).toEqual([
    expect.stringMatching(/^its features are read by layer\d+ \(Relu\), which no matrix passes$/),
  ]);
});

test.each([
  ["root mean squares", false],
  ["layer normalizations", true],
])("slices with %s lose nothing where directions are empty", async (_, layerNorm) => {
  const model = transformer({ layerNorm, rank: 6 });
  const before = await outputsOf(bytesOf(model), { x });
  for (const refit of [true, false]) {
    const options = { ratio: 0.5, multiple: 1, refit };
    const { model: result, bytes, groups } = await apply(model, "slice-hidden", options, envOf(x));
    expect(groups.map(({ before, after }) => [before, after])).toEqual([[16, 8]]);
    expect(result.graph.sorted()[0].inputs[1]?.shape).toEqual([5, 8]);
    // The shift in front of the mean over tokens has directions that hidden states have not.
    if (!layerNorm) expect(relativeError(before, await outputsOf(bytes, { x }))).toBeLessThan(1e-4);
  }
});

for (const name of ["sst2_transformer", "stories260k"]) {
  const { path, shapes } = realModels.find((model) => model.name === name) ?? {};
  test.skipIf(!path || !shapes)(`${name} gives what it gave`, async () => {
    const file = readFileSync(path as string);
    const model = readModel(file);
    inferModel(model);
    const feeds = feedsOf((shapes ?? [])[1]);
    const env = environmentOf(nets[0], { feeds });
    const { bytes, skipped } = await apply(simplify(model), "rotate-weights", {}, env);
    expect(skipped).toEqual([]);
    const [a, b] = await Promise.all([outputsOf(file, feeds), outputsOf(bytes, feeds)]);
    expect(relativeError(a, b)).toBeLessThan(1e-4);
  });
}
