/** @file Cross-layer equalization against DFQ's equations worked by hand; the function stays. */
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

const random = createRandom(8);
const normal = (size: number): Float32Array =>
  Float32Array.from({ length: size }, () => random.normal());
const envOf = (x: ReturnType<typeof tensor>) =>
  environmentOf(nets[0], { calibration: tensorDataset({ x }), feeds: { x } });
const bytesOf = (model: Model): Uint8Array => concat(writeModel(model));
const inputsOf = (model: Model, op: string, index: number): number[][] =>
  model.graph
    .sorted()
    .filter((node) => node.op === op)
    .map(({ inputs }) => [...(inputs[index]?.tensor?.floats() ?? [])]);
/** max |w| of the slices of a tensor [rows, columns]. */
const rowMax = (w: number[], rows: number): number[] =>
  Array.from({ length: rows }, (_, r) =>
    Math.max(...w.slice((r * w.length) / rows, ((r + 1) * w.length) / rows).map(Math.abs)),
  );
const near = (got: number[], expected: number[]): void => {
  expect(got.length).toBe(expected.length);
  for (const [i, v] of got.entries()) expect(v / expected[i]).toBeCloseTo(1, 3);
};

test("s = sqrt(r1 r2) / r2 (eq. 11): both layers then have the range sqrt(r1 r2)", async () => {
  const model = layerModel(["N", 2], (g, x) => {
    const first = g.Gemm(x, g.constant([8, 1, 0.5, -2], { shape: [2, 2] }), g.constant([4, 2]), {
      transB: 1,
    });
    return g.MatMul(g.Relu(first), g.constant([0.5, -0.25, 3, 8], { shape: [2, 2] }));
  });
  const x = tensor("float32", [8, 2], normal(16));
  // Without data: nothing may be observed.
  const env = environmentOf(nets[0], { calibration: null, feeds: { x } });
  const { model: even, bytes, skipped } = await apply(model, "equalize", {}, env);
  // r1 = 8, 2; r2 = 0.5, 8; s = 4, 1/2.
  near(inputsOf(even, "Gemm", 1)[0], [2, 1 / 4, 1, -4]);
  near(inputsOf(even, "Gemm", 2)[0], [1, 4]);
  near(inputsOf(even, "MatMul", 1)[0], [2, -1, 1.5, 4]);
  expect(skipped.map(({ node }) => node)).toEqual(["layer1"]);
  const [a, b] = [bytesOf(model), bytes].map((file) => outputsOf(file, { x }));
  expect(relativeError(await a, await b)).toBeLessThan(1e-6);
});

/** Channels between the layers. */
const C = 16;
const same = { pads: [1, 1, 1, 1] };
/** Pointwise, depthwise, pointwise: two spans that share the depthwise kernel. */
function separable(base: number): Model {
  const uneven = (size: number, per: number): Float32Array =>
    normal(size).map((v, i) => v * base ** (Math.floor(i / per) % 5));
  return layerModel(["N", 4, 6, 6], (g, x) => {
    const conv = (y: Value, shape: number[], attributes = {}): Value => {
      const size = shape.reduce((p, d) => p * d, 1);
      const weight = g.constant(uneven(size, size / shape[0]), { shape });
      return g.Conv(y, weight, g.constant(normal(shape[0])), attributes);
    };
    const wide = g.Relu(conv(x, [C, 4, 1, 1]));
    const depthwise = g.Relu(conv(wide, [C, 1, 3, 3], { group: C, ...same }));
    return conv(depthwise, [4, C, 1, 1]);
  });
}
const images = tensor("float32", [16, 4, 6, 6], normal(16 * 144));

test("chains through a depthwise layer converge: every pair of ranges is equal", async () => {
  const model = separable(4);
  const { model: even, bytes } = await apply(model, "equalize", {}, envOf(images));
  const [first, depthwise, last] = inputsOf(even, "Conv", 1);
  const middle = rowMax(depthwise, C);
  near(rowMax(first, C), middle);
  const columns = Array.from({ length: C }, (_, c) =>
    Math.max(...[0, 1, 2, 3].map((row) => Math.abs(last[row * C + c]))),
  );
  near(columns, middle);
  const before = inputsOf(model, "Conv", 1);
  const spread = (w: number[]): number => Math.max(...rowMax(w, C)) / Math.min(...rowMax(w, C));
  expect(spread(depthwise)).toBeLessThan(spread(before[1]) / 4);
  const [a, b] = [bytesOf(model), bytes].map((file) => outputsOf(file, { x: images }));
  expect(relativeError(await a, await b)).toBeLessThan(1e-6);
});

test("ranges=activations: all channels that a depthwise layer reads get the same range", async () => {
  const model = separable(2);
  const options = { ranges: "activations" };
  const { model: even, bytes } = await apply(model, "equalize", options, envOf(images));
  const [a, b] = [bytesOf(model), bytes].map((file) => outputsOf(file, { x: images }));
  expect(relativeError(await a, await b)).toBeLessThan(1e-6);
  // 16 records are all of the calibration data.
  const [first] = inputsOf(even, "Conv", 1);
  const [bias] = inputsOf(even, "Conv", 2);
  const pixels = images.floats();
  const largest = bias.map((shift, c) => {
    let most = 0;
    for (let i = 0; i < pixels.length; i++) {
      const [record, at] = [Math.floor(i / 144), i % 144];
      if (at >= 36) continue;
      const y = [0, 1, 2, 3].reduce(
        (sum, j) => sum + first[c * 4 + j] * pixels[record * 144 + j * 36 + at],
        shift,
      );
      most = Math.max(most, y);
    }
    return most;
  });
  near(largest, Array(C).fill(Math.max(...largest)));
});

test("absorb: c = mean - 3 sd leaves the bias and comes back through the next layer", async () => {
  const model = layerModel(["N", 1], (g: Builder, x) => {
    const first = g.Gemm(x, g.constant([1, 2], { shape: [2, 1] }), g.constant([10, 1]), {
      transB: 1,
    });
    const weight = g.constant([1, 1, 2, 0.5], { shape: [2, 2] });
    return g.Gemm(g.Relu(first), weight, g.constant([0, -1]), { transB: 1 });
  });
  // +-1: mean 0, sd 1. The first channel is 10 +- 1, so c = 7; the second is 1 +- 2: it stays.
  const x = tensor("float32", [4, 1], [1, -1, -1, 1]);
  const options = { ranges: "activations", absorb: true };
  const { model: even, bytes } = await apply(model, "equalize", options, envOf(x));
  const [[w0, w1], [v00, v01, v10, v11]] = inputsOf(even, "Gemm", 1);
  const [[b0, b1], [c0, c1]] = inputsOf(even, "Gemm", 2);
  near([w0 * v00, w1 * v01, w0 * v10, w1 * v11], [1, 2, 2, 1]);
  near([b0 / w0, b1 / (w1 / 2)], [3, 1]);
  near([c0, c1], [7, -1 + 2 * 7]);
  const [a, b] = [bytesOf(model), bytes].map((file) => outputsOf(file, { x }));
  expect(relativeError(await a, await b)).toBeLessThan(1e-6);
});

test("absorb leaves zero padding alone, where -c would have to be padded", async () => {
  const model = layerModel(["N", 1, 3, 3], (g, x) => {
    const first = g.Conv(x, g.constant([0.1], { shape: [1, 1, 1, 1] }), g.constant([50]));
    return g.Conv(g.Relu(first), g.constant(normal(9), { shape: [1, 1, 3, 3] }), null, same);
  });
  const x = tensor("float32", [4, 1, 3, 3], normal(36));
  const { model: even } = await apply(model, "equalize", { absorb: true }, envOf(x));
  const [[weight]] = inputsOf(even, "Conv", 1);
  near([inputsOf(even, "Conv", 2)[0][0] / weight], [500]);
});

test("8 bits with one scale for each layer gain by it", async () => {
  const model = separable(4);
  const errorOf = async (recipe: Model): Promise<number> => {
    const { bytes } = await apply(recipe, "fixed-point", { bits: 8 }, envOf(images));
    const [a, b] = [bytesOf(model), bytes].map((file) => outputsOf(file, { x: images }));
    const [y, z] = [(await a).y.floats(), (await b).y.floats()];
    const power = y.reduce((sum, v) => sum + v * v, 0);
    return Math.sqrt(y.reduce((sum, v, i) => sum + (v - z[i]) ** 2, 0) / power);
  };
  const { model: even } = await apply(model, "equalize", {}, envOf(images));
  const [alone, after] = [await errorOf(model), await errorOf(even)];
  expect(after).toBeLessThan(0.7 * alone);
});
