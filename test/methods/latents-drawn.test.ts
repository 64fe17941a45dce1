/** @file What is drawn while training: TernaryConnect, noise on weights, blocks left out. */
import { describe, expect, test } from "vitest";
import { tensor } from "../../src/ir/tensor.ts";
import { openDepth } from "../../src/learned/depth.ts";
import { openNoisy } from "../../src/learned/noise.ts";
import { createRandom } from "../../src/numeric/random.ts";
import type { Composed } from "../../src/weights/weight.ts";
import { apply, environmentOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";
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

test("stochastic depth: block l of L is there with 1 - l / L (1 - survival), and counts 1 on average", () => {
  const model = layerModel(["N", 4], (g, x) => {
    const layer = (value: typeof x) =>
      g.MatMul(value, g.constant(new Float32Array(16).fill(0.1), { shape: [4, 4] }));
    const block = (value: typeof x) => g.Add(value, layer(g.Relu(layer(value))));
    return layer(block(block(block(layer(x)))));
  });
  const opened = openDepth(model, 0.4);
  const sums = model.graph.sorted().filter(({ op }) => op === "Add");
  expect(opened.map(({ readers }) => readers)).toEqual(sums.map((sum) => [sum]));
  expect(opened.map(({ value }) => value)).toEqual(sums.map(({ inputs }) => inputs[1]));
  const random = createRandom(2);
  for (const [i, { latent }] of opened.entries()) {
    const share = 1 - ((i + 1) / 3) * 0.6;
    const drawn = Array.from({ length: 500 }, (_, step) =>
      latent.feeds!.factor.at(step, random).floats().at(0),
    ) as number[];
    const there = drawn.filter((factor) => factor > 0);
    for (const factor of there) expect(factor).toBeCloseTo(1 / share, 5);
    expect(there.length / drawn.length).toBeGreaterThan(share - 0.06);
    expect(there.length / drawn.length).toBeLessThan(share + 0.06);
  }
});

test("stochastic depth leaves the model's nodes as they are; blocks that are not there do not learn", async () => {
  const w = Float32Array.from({ length: 16 }, (_, i) => Math.sin(i));
  const model = layerModel(["N", 4], (g, x) => {
    const layer = (value: typeof x) => g.MatMul(value, g.constant(w, { shape: [4, 4] }));
    const start = layer(x);
    return layer(g.Add(start, layer(start)));
  });
  const x = tensor(
    "float32",
    [8, 4],
    Float32Array.from({ length: 32 }, (_, i) => Math.cos(i)),
  );
  const teacher = layerModel(["N", 4], (g, x) => g.Mul(x, g.constant(2)));
  const training = tensorDataset({ x });
  const options = { loss: "logits", steps: 1, batch: 8, holdout: 0, survival: 0.1 };
  const ops = ({ graph }: typeof model) => graph.sorted().map(({ op }) => op);
  let stayed = 0;
  for (const seed of [1, 2, 3]) {
    const env = environmentOf(nets[0], { calibration: null, training, teacher, seed });
    const { model: trained } = await apply(model, "train", options, env);
    expect(ops(trained)).toEqual(ops(model));
    const moved = weightsIn(trained).map(({ weight }) =>
      Math.max(...weight.values.map((value, i) => Math.abs(value - w[i]))),
    );
    expect(moved[0]).toBeGreaterThan(0);
    expect(moved[2]).toBeGreaterThan(0);
    if (moved[1] === 0) stayed++;
  }
  // The block is there in one step of ten.
  expect(stayed).toBeGreaterThan(0);
});
