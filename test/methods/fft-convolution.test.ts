/** @file FFT convolution as a method: what it replaces, what it refuses and why, what the file holds. */
import { describe, expect, test } from "vitest";
import type { Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { readWeight } from "../../src/weights/read.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { convolve } from "../support/convolve.ts";
import { kindOf, layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(5);
const some = (size: number) => Float32Array.from({ length: size }, () => random.normal());
const env = environmentOf(nets[0]);

const one = { inputs: 8, outputs: 8, groups: 8, size: [20, 16], taps: [9, 7], pads: [4, 3, 4, 3] };
const weights = some(8 * 63);
const bias = some(8);
const x = some(8 * 320);

/** Convolutions of those filters one after the other. */
function modelOf(
  attributes = {},
  size: readonly (number | string)[] = one.size,
  layers = 1,
): Model {
  return layerModel([1, 8, ...size], (g, input) => {
    const { taps, pads, groups } = one;
    const plain = { kernel_shape: taps, pads, group: groups, ...attributes };
    let y = input;
    for (let i = 0; i < layers; i++) {
      const w = g.constant(weights, { shape: [8, 1, ...taps] });
      y = g.Conv(y, w, g.constant(bias), plain);
    }
    return y;
  });
}

/** A clock by which a model with spectra takes `ratio` times as long, and with all of them `whole` times. */
const clock = (ratio: number, whole = ratio, looks: number[] = []) => ({
  compare: async () => ({ value: 1 / whole, ci95: [0.99 / whole, 1.01 / whole] as const }),
  time: async (models: readonly Model[]) => {
    looks.push(models.length);
    return models.map(({ graph }) =>
      [...graph.nodes].some(({ op }) => op === "MatMul") ? ratio : 1,
    );
  },
});

describe("fft-convolution", () => {
  test("computes the convolution", async () => {
    const { bytes, skipped } = await apply(modelOf(), "fft-convolution", { measure: false }, env);
    expect(skipped).toEqual([]);
    const { y } = await outputsOf(bytes, { x: tensor("float32", [1, 8, ...one.size], x) });
    const expected = convolve(x, weights, bias, one);
    expect(y.shape).toEqual(expected.shape);
    const largest = Math.max(...expected.values.map(Math.abs));
    for (const [i, value] of y.floats().entries()) {
      expect(Math.abs(value - expected.values[i]) / largest).toBeLessThan(5e-6);
    }
  });

  test("keeps what makes the model faster, and says what does not", async () => {
    const convs = ({ graph }: Model) => [...graph.nodes].filter(({ op }) => op === "Conv").length;
    const looks: number[] = [];
    const kept = await apply(
      modelOf({}, one.size, 2),
      "fft-convolution",
      {},
      env,
      clock(0.5, 0.5, looks),
    );
    expect(convs(kept.model)).toBe(0);
    // One kind of layers beside the model, in up to three plans; then all that were chosen.
    expect(looks.length).toBe(1);
    expect(looks[0]).toBeGreaterThanOrEqual(2);
    const together = await apply(
      modelOf({}, one.size, 2),
      "fft-convolution",
      {},
      env,
      clock(0.5, 1.1),
    );
    expect(convs(together.model)).toBe(2);
    expect(together.skipped[0].reason).toMatch(/^stays: with 2 layers .* at 0.91x/);
    const refused = await apply(modelOf({}, one.size, 2), "fft-convolution", {}, env, clock(2));
    expect(convs(refused.model)).toBe(2);
    expect(refused.skipped.map(({ reason }) => reason)).toEqual(
      Array(2).fill(
        `would slow the model down as products of spectra on ${env.target.id}, from 1.000 to 2.000 ms a run`,
      ),
    );
  });

  test("refuses what it does not compute, and what costs too much", async () => {
    const reason = async (model: Model, options = {}) =>
      (await apply(model, "fft-convolution", options, env)).skipped[0]?.reason;
    expect(await reason(modelOf({ strides: [2, 2] }))).toMatch(/stride/);
    expect(await reason(modelOf({ dilations: [2, 2] }))).toMatch(/dilated/);
    expect(await reason(modelOf({}, ["H", 16]))).toMatch(/unknown size/);
    expect(await reason(modelOf())).toMatch(/no engine to time it on/);
    const pointwise = layerModel([1, 8, 9, 9], (g, input) =>
      g.Conv(input, g.constant(some(64), { shape: [8, 8, 1, 1] })),
    );
    expect(await reason(pointwise)).toMatch(/one tap/);
    const small = layerModel([1, 64, 56, 56], (g, input) =>
      g.Conv(input, g.constant(some(64 * 9), { shape: [64, 1, 3, 3] }), { group: 64 }),
    );
    expect(await reason(small)).toMatch(/would cost \d+ times the convolution/);
  });

  test("stores the filters, not their spectra", async () => {
    const dense = layerModel([1, 12, 30, 30], (g, input) => {
      const w = g.constant(some(12 * 16 * 81), { shape: [16, 12, 9, 9] });
      return g.Conv(input, w, { kernel_shape: [9, 9], pads: [4, 4, 4, 4] });
    });
    const { model, bytes } = await apply(dense, "fft-convolution", { measure: false }, env);
    inferModel(model);
    const kinds = weightsOf(model).flatMap(({ value }) => {
      // The spectrum is reshaped to the matrices of its one group.
      const weight = readWeight(value.producer?.inputs[0] ?? value);
      return weight ? [kindOf(weight)] : [];
    });
    expect(kinds).toContain("fourier");
    expect(bytes.length - concat(writeModel(dense)).length).toBeLessThan(16000);
  });
});
