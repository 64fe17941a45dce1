/** @file Pooled head: exact where the head is an average already, else the least squares solution. */
import { expect, test } from "vitest";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { nets } from "../support/nets.ts";
import { tinyModel } from "../support/tiny.ts";

const [records, channels, positions, classes] = [50, 3, 4, 2];
const random = createRandom(6);
const some = (size: number) => Float32Array.from({ length: size }, () => random.normal());

/** Relu(Conv x) -> Flatten -> Gemm with this weight [classes, channels x positions]. */
const model = (weight: Float32Array) =>
  readModel(
    tinyModel({
      inputs: [{ name: "x", dims: ["N", channels, 2, 2] }],
      outputs: [{ name: "y", dims: ["N", classes] }],
      nodes: [
        { op: "Conv", inputs: ["x", "K"], outputs: ["h"] },
        { op: "Relu", inputs: ["h"], outputs: ["r"] },
        { op: "Flatten", inputs: ["r"], outputs: ["f"] },
        { op: "Gemm", inputs: ["f", "W", "b"], outputs: ["y"], ints: { transB: 1 } },
      ],
      weights: [
        { name: "K", dims: [channels, channels, 1, 1], data: kernel },
        { name: "W", dims: [classes, channels * positions], data: weight },
        { name: "b", dims: [classes], data: Float32Array.of(0.5, -1) },
      ],
    }),
  );
const kernel = some(channels * channels);
const x = some(records * channels * positions);
const env = environmentOf(nets[0], {
  calibration: tensorDataset({ x: tensor("float32", [records, channels, 2, 2], x) }),
  feeds: { x: tensor("float32", [records, channels, 2, 2], x) },
});

const bytesOf = (start: ReturnType<typeof model>) => concat(writeModel(start));

test("a head that averages already is found exactly", async () => {
  const even = some(classes * channels);
  const start = model(
    Float32Array.from(
      { length: classes * channels * positions },
      (_, i) => even[Math.floor(i / positions)] / positions,
    ),
  );
  const before = await outputsOf(bytesOf(start), env.feeds);
  const { model: made, bytes } = await apply(start, "pool-head", { damping: 1e-9 }, env);
  const after = await outputsOf(bytes, env.feeds);
  for (const [i, y] of Array.from(before.y.numbers()).entries()) {
    expect(Number(after.y.numbers()[i])).toBeCloseTo(Number(y), 3);
  }
  const [, last] = weightsOf(made);
  expect(last.value.tensor?.shape).toEqual([classes, channels]);
});

test("otherwise the error is orthogonal to the pooled values: no other layer fits better", async () => {
  const start = model(some(classes * channels * positions));
  const before = await outputsOf(bytesOf(start), env.feeds);
  const { bytes } = await apply(start, "pool-head", { damping: 1e-9 }, env);
  const after = await outputsOf(bytes, env.feeds);
  const error = Array.from(before.y.numbers(), (y, i) => y - after.y.numbers()[i]);
  expect(Math.max(...error.map(Math.abs))).toBeGreaterThan(0.1);
  const pooled = Array.from({ length: records }, (_, n) =>
    Array.from({ length: channels }, (_, o) => {
      let sum = 0;
      for (let p = 0; p < positions; p++) {
        let value = 0;
        for (let c = 0; c < channels; c++) {
          value += kernel[o * channels + c] * x[(n * channels + c) * positions + p];
        }
        sum += Math.max(0, value) / positions;
      }
      return sum;
    }),
  );
  for (let k = 0; k < classes; k++) {
    const own = pooled.map((_, n) => error[n * classes + k]);
    expect(Math.abs(own.reduce((a, b) => a + b, 0))).toBeLessThan(1e-2);
    for (let c = 0; c < channels; c++) {
      expect(Math.abs(own.reduce((sum, e, n) => sum + e * pooled[n][c], 0))).toBeLessThan(1e-2);
    }
  }
});

test("a model that gives an index is left alone", async () => {
  const index = readModel(
    tinyModel({
      inputs: [{ name: "x", dims: ["N", channels, 2, 2] }],
      outputs: [{ name: "y", dtype: "int64", dims: ["N", 1] }],
      nodes: [
        { op: "Relu", inputs: ["x"], outputs: ["r"] },
        { op: "Flatten", inputs: ["r"], outputs: ["f"] },
        { op: "MatMul", inputs: ["f", "W"], outputs: ["s"] },
        { op: "ArgMax", inputs: ["s"], outputs: ["y"], ints: { axis: 1 } },
      ],
      weights: [{ name: "W", dims: [channels * positions, classes], data: some(24) }],
    }),
  );
  const { skipped } = await apply(index, "pool-head", {}, env);
  expect(skipped[0].reason).toMatch(/int64/);
});

test("tokens [N, T, D] are no map of channels", async () => {
  const tokens = readModel(
    tinyModel({
      inputs: [{ name: "x", dims: ["N", 3, 4] }],
      outputs: [{ name: "y", dims: ["N", classes] }],
      nodes: [
        { op: "MatMul", inputs: ["x", "V"], outputs: ["h"] },
        { op: "Relu", inputs: ["h"], outputs: ["r"] },
        { op: "Flatten", inputs: ["r"], outputs: ["f"] },
        { op: "MatMul", inputs: ["f", "W"], outputs: ["y"] },
      ],
      weights: [
        { name: "V", dims: [4, 4], data: some(16) },
        { name: "W", dims: [12, classes], data: some(24) },
      ],
    }),
  );
  const own = tensorDataset({ x: tensor("float32", [8, 3, 4], some(96)) });
  const { skipped } = await apply(tokens, "pool-head", {}, { ...env, calibration: own });
  expect(skipped[0]?.reason).toMatch(/second axis/);
});
