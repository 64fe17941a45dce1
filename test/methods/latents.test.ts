/** @file The gradients of weights that methods open for training, against the papers' equations. */
import { describe, expect, test } from "vitest";
import type { Composed } from "../../src/weights/weight.ts";
import { differentiate, latentOf, random, size, slopes, weights } from "./latents.ts";

describe("binarize-connect: dE/du = H dE/dW for every weight, whatever was drawn (algorithm 1)", () => {
  const mean = weights.reduce((sum, w) => sum + Math.abs(w), 0) / size;
  // u from -1 to 1, its ends included.
  const u = Float32Array.from({ length: size }, (_, i) => (2 * i) / (size - 1) - 1);

  test("deterministic", async () => {
    const latent = await latentOf("binarize-connect", {});
    const { w, gradients } = differentiate(latent, { latent: u, x: weights }, slopes);
    for (let i = 0; i < size; i++) {
      expect(w[i]).toBeCloseTo(u[i] > 0 ? mean : -mean, 5);
      expect(gradients.latent[i]).toBeCloseTo(mean * slopes[i], 5);
    }
  });

  test("closes into the signs that training computed with, however small u is", async () => {
    const latent = await latentOf("binarize-connect", {});
    const small = Float32Array.from({ length: size }, (_, i) => [0, 1e-9, -1e-9, 1, -1][i % 5]);
    const { w } = differentiate(latent, { latent: small, x: weights }, slopes);
    const closed = latent.close({ latent: small }, null as never) as Composed;
    expect([...closed.values]).toEqual([...w]);
  });

  test("stochastic", async () => {
    const latent = await latentOf("binarize-connect", { rounding: "stochastic" });
    // The noise goes through [-1/2, 1/2], its ends included.
    const noise = Float32Array.from(
      { length: size },
      (_, i) => ((7 * i) % size) / (size - 1) - 0.5,
    );
    const { w, gradients } = differentiate(latent, { latent: u, x: weights }, slopes, { noise });
    for (let i = 0; i < size; i++) {
      expect(Math.abs(w[i])).toBeCloseTo(mean, 5);
      const share = (u[i] + 1) / 2 + noise[i];
      if (Math.abs(share - 0.5) > 1e-6) expect(w[i] > 0).toBe(share > 0.5);
      expect(gradients.latent[i]).toBeCloseTo(mean * slopes[i], 5);
    }
  });
});

test("quantize-lsq: the step's gradient is that of equation 3, the weight's that of equation 5", async () => {
  const latent = await latentOf("quantize-lsq", { bits: 3, ends: 3, activations: 0 });
  const [{ start }] = Object.values(latent.theta);
  const step = Float32Array.of(start[0] / 2);
  const top = 3;
  const found = differentiate(latent, { step, x: weights }, slopes);
  let expected = 0;
  for (let i = 0; i < size; i++) {
    const v = weights[i] / step[0];
    const isInside = Math.abs(v) < top;
    const level = Math.max(-top, Math.min(top, Math.round(v)));
    expect(found.w[i]).toBeCloseTo(level * step[0], 5);
    expect(found.gradients.x[i]).toBeCloseTo(isInside ? slopes[i] : 0, 5);
    expected += slopes[i] * (isInside ? Math.round(v) - v : Math.sign(v) * top);
  }
  expect(weights.some((w) => Math.abs(w / step[0]) > top)).toBe(true);
  expect(found.gradients.step[0]).toBeCloseTo(expected, 4);
});

test("prune-surgery: a masked weight is 0 and gets the gradient as if it were not (equation 4)", async () => {
  const latent = await latentOf("prune-surgery", {});
  const gone = weights.map((_, i) => Number(i % 3 === 0));
  const { w, gradients } = differentiate(latent, { weight: weights, gone, x: weights }, slopes);
  for (let i = 0; i < size; i++) {
    expect(w[i]).toBeCloseTo(gone[i] ? 0 : weights[i], 6);
    expect(gradients.weight[i]).toBeCloseTo(slopes[i], 6);
  }
});

test("train-rate: levels get s dE/dW through the rounding, the step the sum over its levels", async () => {
  const latent = await latentOf("train-rate", {});
  const levels = Float32Array.from({ length: size }, () => 3 * random.normal());
  const scale = Float32Array.of(0.3);
  const { w, gradients } = differentiate(latent, { levels, scale, x: weights }, slopes);
  let expected = 0;
  for (let i = 0; i < size; i++) {
    expect(w[i]).toBeCloseTo(0.3 * Math.round(levels[i]), 5);
    expect(gradients.levels[i]).toBeCloseTo(0.3 * slopes[i], 5);
    expected += Math.round(levels[i]) * slopes[i];
  }
  expect(gradients.scale[0]).toBeCloseTo(expected, 4);
});
