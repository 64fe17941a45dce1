/** @file Weights with random parts: TernaryConnect, and noise while training. */
import { describe, expect, test } from "vitest";
import { openNoisy } from "../../src/learned/noise.ts";
import { createRandom } from "../../src/numeric/random.ts";
import type { Composed } from "../../src/weights/weight.ts";
import { layerModel } from "../support/layer.ts";
import { columns, differentiate, latentOf, rows, size, slopes, weights } from "./latents.ts";

describe("ternarize-connect: dE/du = H dE/dW, whatever was drawn (section 3.2)", () => {
  const sizes = weights.map(Math.abs);
  const mean = sizes.reduce((a, b) => a + b, 0) / size;
  const large = sizes.filter((w) => w > 0.7 * mean);
  const H = large.reduce((a, b) => a + b, 0) / large.length;
  // u from -1 to 1, its ends and 0 included.
  const u = Float32Array.from({ length: size }, (_, i) => (i === 5 ? 0 : (2 * i) / (size - 1) - 1));

  test("stochastic: +-H where |u| is above the number that was drawn", async () => {
    const latent = await latentOf("ternarize-connect", { ends: 1 });
    const noise = Float32Array.from({ length: size }, (_, i) => ((7 * i) % size) / size - 0.5);
    const { w, gradients } = differentiate(latent, { latent: u, x: weights }, slopes, { noise });
    for (let i = 0; i < size; i++) {
      const isDrawn = Math.abs(u[i]) >= noise[i] + 0.5 && u[i] !== 0;
      expect(w[i]).toBeCloseTo(isDrawn ? H * Math.sign(u[i]) : 0, 5);
      expect(gradients.latent[i]).toBeCloseTo(H * slopes[i], 5);
    }
  });

  test("on average W = H u", async () => {
    const latent = await latentOf("ternarize-connect", { ends: 1 });
    const draw = createRandom(3);
    const sum = new Float64Array(size);
    const rounds = 400;
    for (let round = 0; round < rounds; round++) {
      const noise = latent.feeds!.noise.at(round, draw).floats();
      for (let i = 0; i < size; i++) {
        if (Math.abs(u[i]) >= noise[i] + 0.5) sum[i] += Math.sign(u[i]) / rounds;
      }
    }
    for (let i = 0; i < size; i++) expect(Math.abs(sum[i] - u[i])).toBeLessThan(0.11);
  });

  test("deterministic, and closed: the most probable level", async () => {
    const latent = await latentOf("ternarize-connect", { ends: 1, rounding: "deterministic" });
    const { w } = differentiate(latent, { latent: u, x: weights }, slopes);
    const closed = latent.close({ latent: u }, null as never) as Composed;
    expect([...closed.values]).toEqual([...w]);
    for (let i = 0; i < size; i++) {
      expect(w[i]).toBeCloseTo(Math.abs(u[i]) >= 0.5 ? H * Math.sign(u[i]) : 0, 5);
    }
  });
});

test("noise: W + share rms(W) e, exact zeros stay, gradients pass", () => {
  const pruned = weights.map((w, i) => (i % 3 === 0 ? 0 : w));
  const model = layerModel(["N", rows], (g, x) =>
    g.MatMul(x, g.constant(pruned, { shape: [rows, columns] })),
  );
  const [{ latent }] = openNoisy(model, { only: [], except: [] }, 0.3);
  const noise = latent.feeds!.noise.at(0, createRandom(5)).floats();
  const { w, gradients } = differentiate(latent, { x: pruned }, slopes, { noise });
  const rms = Math.sqrt(pruned.reduce((sum, x) => sum + x * x, 0) / size);
  for (let i = 0; i < size; i++) {
    expect(w[i]).toBeCloseTo(pruned[i] === 0 ? 0 : pruned[i] + 0.3 * rms * noise[i], 5);
    expect(gradients.x[i]).toBeCloseTo(slopes[i], 5);
  }
  const spread = noise.reduce((sum, e) => sum + e * e, 0) / size;
  expect(spread).toBeGreaterThan(0.6);
  expect(spread).toBeLessThan(1.5);
  expect(openNoisy(model, { only: [], except: ["layer1"] }, 0.3)).toEqual([]);
});
