/** @file Grids that lose bits in stages: which bits when, and what they compute with. */
import { expect, test } from "vitest";
import { createRandom } from "../../src/numeric/random.ts";
import { differentiate, hooksOf, size, slopes, weights } from "./latents.ts";

test("bits are halved in the first half of the steps, and the final ones have the second", async () => {
  const { latents, begin } = await hooksOf("quantize-lsq", { ends: 2, activations: 0, from: 8 });
  const { finer } = latents![0].latent.feeds!;
  const bitsAt = (step: number): number =>
    2 + Math.log2(finer.at(step, createRandom(1)).floats()[0]);
  expect(bitsAt(0)).toBe(8);
  begin!(40);
  expect(Array.from({ length: 40 }, (_, step) => bitsAt(step))).toEqual([
    ...new Array(10).fill(8),
    ...new Array(10).fill(4),
    ...new Array(20).fill(2),
  ]);
});

test("a finer grid has the same range, and the gradients of LSQ on it (equations 3 and 5)", async () => {
  const { latents } = await hooksOf("quantize-lsq", { ends: 3, activations: 0, from: 5 });
  const [{ latent }] = latents!;
  const step = Float32Array.of(latent.theta.step.start[0] / 2);
  const finer = Float32Array.of(4);
  const found = differentiate(latent, { step, x: weights }, slopes, { finer });
  let expected = 0;
  for (let i = 0; i < size; i++) {
    const v = weights[i] / step[0];
    const clipped = Math.max(-3, Math.min(3, v));
    const level = Math.round(4 * clipped) / 4;
    expect(found.w[i]).toBeCloseTo(level * step[0], 5);
    expect(found.gradients.x[i]).toBeCloseTo(Math.abs(v) < 3 ? slopes[i] : 0, 5);
    expected += slopes[i] * (Math.abs(v) < 3 ? level - v : level);
  }
  expect(found.gradients.step[0]).toBeCloseTo(expected, 4);
});

test("without stages a latent has no feeds, whatever its bits", async () => {
  for (const given of [{}, { from: 4, ends: 4 }, { from: 2 }]) {
    const { latents } = await hooksOf("quantize-lsq", { activations: 0, ends: 4, ...given });
    expect(latents![0].latent.feeds).toBeUndefined();
  }
});
