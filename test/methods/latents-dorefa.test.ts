/** @file DoReFa: weights through tanh onto 2^k levels, activations below a fixed bound. */
import { describe, expect, test } from "vitest";
import { createRandom } from "../../src/numeric/random.ts";
import type { Composed, Leaf } from "../../src/weights/weight.ts";
import { differentiate, hooksOf, latentOf, rows, size, slopes, weights } from "./latents.ts";

const random = createRandom(12);

describe.each([
  ["quantize-dorefa", {}],
  ["quantize-pact", { weights: "dorefa" }],
] as const)("%s %j: W = H (2 q(tanh u / (2 max |tanh u|) + 1/2) - 1), equation 9", (id, given) => {
  const opened = (bits: number) => latentOf(id, { ...given, ends: bits });

  test.each([2, 3])("%i bits: value, gradient and what is stored", async (bits) => {
    const latent = await opened(bits);
    const n = 2 ** bits - 1;
    const u = Float32Array.from({ length: size }, () => 1.3 * random.normal());
    const { w, gradients } = differentiate(latent, { latent: u, x: weights }, slopes);
    const most = Math.max(...u.map((v) => Math.abs(Math.tanh(v))));
    const H = Math.max(...w);
    const closed = latent.close({ latent: u }, null as never) as Composed;
    const { codebook, index } = closed.theta as Record<string, Leaf>;
    expect(codebook.values).toHaveLength(n + 1);
    for (let i = 0; i < size; i++) {
      const t = Math.tanh(u[i]);
      const r = t / (2 * most) + 1 / 2;
      const expected = H * ((2 * Math.round(r * n)) / n - 1);
      expect(w[i]).toBeCloseTo(expected, 5);
      expect(codebook.values[Number(index.values[i])]).toBeCloseTo(expected, 5);
      // Rounding passes gradients through; max |tanh u| is a constant.
      expect(gradients.latent[i]).toBeCloseTo((slopes[i] * H * (1 - t * t)) / most, 4);
    }
  });

  test("starts as the weights that were there, rounded in the best range", async () => {
    const latent = await opened(3);
    const start = latent.theta.latent.start;
    const { w } = differentiate(latent, { latent: start, x: weights }, slopes);
    const H = Math.max(...w);
    const errorAt = (bound: number) =>
      weights.reduce((sum, v) => {
        const r = Math.min(1, Math.max(-1, v / bound)) / 2 + 1 / 2;
        return sum + (v - bound * ((2 * Math.round(r * 7)) / 7 - 1)) ** 2;
      }, 0);
    const error = weights.reduce((sum, v, i) => sum + (v - w[i]) ** 2, 0);
    expect(error).toBeCloseTo(errorAt(H), 3);
    const largest = Math.max(...weights.map(Math.abs));
    const others = Array.from({ length: 60 }, (_, i) => errorAt((largest * (i + 1)) / 60));
    expect(error).toBeLessThan(1.03 * Math.min(...others));
  });
});

describe("quantize-dorefa: what layers read, a q(clip(x / a, 0, 1)), a fixed", () => {
  const x = Float32Array.from({ length: size }, () => 3 * random.normal());

  test.each([
    ["never negative", 0, 7],
    ["negative as well", -1, 3],
  ])("%s", async (_, least, levels) => {
    const drawn = Float32Array.from({ length: 64 * rows }, () => 1.7 * random.normal());
    const inputs = least < 0 ? drawn : drawn.map((v) => Math.max(0, v));
    const hooks = await hooksOf("quantize-dorefa", { ends: 3 }, inputs);
    const latent = hooks.latents![1].latent;
    expect(latent.theta).toEqual({});
    const { w, gradients } = differentiate(latent, { x }, slopes);
    const a = Math.max(...w);
    expect(a).toBeGreaterThan(1);
    expect(a).toBeLessThan(Math.max(...inputs));
    for (let i = 0; i < size; i++) {
      const clipped = Math.min(1, Math.max(least, x[i] / a));
      expect(w[i]).toBeCloseTo((Math.round(clipped * levels) * a) / levels, 5);
      const isInside = x[i] > least * a && x[i] < a;
      expect(gradients.x[i]).toBeCloseTo(isInside ? slopes[i] : 0, 5);
    }
  });
});
