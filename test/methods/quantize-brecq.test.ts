/** @file Block reconstruction: what a block is, what is learned in it, and that it helps. */
import { describe, expect, test } from "vitest";
import { tensor } from "../../src/ir/tensor.ts";
import { blocksOf } from "../../src/learned/blocks.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import type { Composed, Leaf } from "../../src/weights/weight.ts";
import { apply, environmentOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel } from "../support/layer.ts";
import { differentiate, hooksOf, rows, size, slopes, weights } from "./latents.ts";

const random = createRandom(8);
const normal = (count: number): Float32Array =>
  Float32Array.from({ length: count }, () => random.normal());

/** conv -> relu, a residual block of two convolutions, pool -> gemm. */
const residual = layerModel(["N", 2, 6, 6], (g, x) => {
  const conv = (from: typeof x, inputs: number) =>
    g.Conv(
      from,
      g.constant(
        normal(4 * inputs * 9).map((w) => w / 3),
        { shape: [4, inputs, 3, 3] },
      ),
      null,
      {
        pads: [1, 1, 1, 1],
      },
    );
  const first = g.Relu(conv(x, 2));
  const sum = g.Relu(g.Add(conv(g.Relu(conv(first, 4)), 4), first));
  const flat = g.Flatten(g.MaxPool(sum, { kernel_shape: [2, 2], strides: [2, 2] }));
  return g.Gemm(flat, g.constant(normal(36 * 5), { shape: [36, 5] }));
});

test("a block ends where one value holds everything, behind activations and pooling", () => {
  const found = blocksOf(residual).map(({ layers, end }) => [layers.map(({ op }) => op), end.op]);
  expect(found).toEqual([
    [["Conv"], "Relu"],
    [["Conv", "Conv"], "Flatten"],
    [["Gemm"], "Gemm"],
  ]);
});

describe("a weight between two levels (AdaRound, eq. 21 to 24)", () => {
  const opened = async (steps: number, given: object = {}) => {
    const hooks = await hooksOf("quantize-brecq", { ends: 3, activations: 0, steps, ...given });
    hooks.begin!(steps);
    return hooks.latents![0].latent;
  };
  const h = (v: number): number => Math.min(1, Math.max(0, 1.2 / (1 + Math.exp(-v)) - 0.1));

  test("starts at the weight, up to the greatest level", async () => {
    const latent = await opened(10);
    const v = latent.theta.v.start;
    const feeds = { beta: Float32Array.of(20), strength: Float32Array.of(0) };
    const { w } = differentiate(latent, { v, x: weights }, slopes, feeds);
    const { scale } = (latent.close({ v }, null as never) as Composed).theta as Record<
      string,
      Leaf
    >;
    for (let i = 0; i < size; i++) {
      const most = 3 * scale.values[i % scale.values.length];
      expect(w[i]).toBeCloseTo(Math.max(-most, Math.min(most, weights[i])), 4);
    }
  });

  test("value, gradient and penalty", async () => {
    const latent = await opened(10);
    const v = Float32Array.from({ length: size }, () => 2 * random.normal());
    const [beta, strength] = [6, 0.7];
    const feeds = { beta: Float32Array.of(beta), strength: Float32Array.of(strength) };
    const { w, gradients } = differentiate(latent, { v, x: weights }, slopes, feeds);
    const closed = latent.close({ v }, null as never) as Composed;
    const { scale, levels } = closed.theta as Record<string, Leaf>;
    for (let i = 0; i < size; i++) {
      const s = scale.values[i % scale.values.length];
      // The levels below and above differ by one, unless they are the last.
      const below = Math.floor(weights[i] / s);
      const bounded = (q: number): number => Math.max(-3, Math.min(3, q));
      expect(w[i]).toBeCloseTo(s * bounded(below + h(v[i])), 4);
      expect(levels.values[i]).toBe(bounded(below + Number(v[i] >= 0)));
      const sigmoid = 1 / (1 + Math.exp(-v[i]));
      const isMoving = h(v[i]) > 0 && h(v[i]) < 1;
      const slope = isMoving ? 1.2 * sigmoid * (1 - sigmoid) : 0;
      const isInside = Math.abs(below + h(v[i])) < 3;
      const away = 2 * h(v[i]) - 1;
      const pull = (-2 * beta * Math.sign(away) * Math.abs(away) ** (beta - 1) * strength) / size;
      const expected = slope * ((isInside ? slopes[i] * s : 0) + pull);
      expect(gradients.v[i]).toBeCloseTo(expected, 4);
    }
  });

  test("the penalty begins after a fifth of the steps, and its exponent falls from 20 to 2", async () => {
    const { feeds } = await opened(100);
    const at = (name: string, step: number): number => feeds![name].at(step, random).floats()[0];
    expect([at("strength", 20), at("beta", 20)]).toEqual([0, 20]);
    expect(at("strength", 21)).toBeGreaterThan(0);
    expect(at("beta", 60)).toBeCloseTo(11, 5);
    expect(at("beta", 100)).toBeCloseTo(2, 5);
  });
});

describe("activations (QDrop)", () => {
  const inputs = Float32Array.from({ length: 40 * rows }, () => Math.abs(random.normal()));
  const x = Float32Array.from({ length: size }, () => Math.abs(random.normal()));
  const opened = async (drop: number) => {
    const hooks = await hooksOf("quantize-brecq", { ends: 3, drop, steps: 5 }, inputs);
    return hooks.latents![1].latent;
  };

  test("each element is rounded or left, about half of them, others in each step", async () => {
    const latent = await opened(0.5);
    const step = latent.theta.step.start;
    const draw = createRandom(6);
    const sets: boolean[][] = [];
    for (let at = 0; at < 8; at++) {
      const shift = latent.feeds!.shift.at(at, draw).floats();
      const { w, gradients } = differentiate(latent, { step, x }, slopes, { shift });
      const isRounded: boolean[] = [];
      let expected = 0;
      for (let i = 0; i < size; i++) {
        const v = x[i] / step[0];
        const level = Math.min(7, Math.max(0, Math.round(v)));
        const isLeft = Math.abs(w[i] - x[i]) < 1e-6;
        if (!isLeft) expect(w[i]).toBeCloseTo(level * step[0], 4);
        if (!isLeft) expected += slopes[i] * (v < 7 ? level - v : 7);
        expect(gradients.x[i]).toBeCloseTo(isLeft || v < 7 ? slopes[i] : 0, 4);
        isRounded.push(!isLeft);
      }
      expect(gradients.step[0]).toBeCloseTo(expected, 3);
      sets.push(isRounded);
    }
    const shares = sets.map((set) => set.filter(Boolean).length / size);
    for (const share of shares) expect(Math.abs(share - 0.5)).toBeLessThan(0.2);
    for (let i = 1; i < sets.length; i++) expect(sets[i]).not.toEqual(sets[i - 1]);
  });

  test("drop=0 rounds all", async () => {
    const latent = await opened(0);
    expect(latent.feeds).toBeUndefined();
  });
});

test("blocks in 3 bits give more of what they did than rounding to the nearest", async () => {
  const records = 96;
  const x = tensor("float32", [records, 2, 6, 6], normal(records * 72));
  const feeds = () => ({ x });
  const env = environmentOf(
    { name: "brecq", model: residual, feeds },
    { calibration: tensorDataset({ x }), training: tensorDataset({ x }), feeds: { x } },
  );
  const outputsOf = ({ graph }: typeof residual) => evaluateGraph(graph, { x }).y.floats();
  const lengthOf = (y: Float32Array): number => Math.hypot(...y);
  const wanted = outputsOf(residual);
  const errorOf = async (id: "quantize-brecq" | "quantize-weights", given: object) => {
    const { model } = await apply(residual, id, { ...given }, env);
    const found = outputsOf(model);
    return lengthOf(found.map((y, i) => y - wanted[i])) / lengthOf(wanted);
  };
  const nearest = await errorOf("quantize-weights", { bits: 3, block: 0, scale: "mse" });
  // Measured: 0.71 of it; AdaRound layer by layer reaches 0.72.
  const given = { bits: 3, ends: 3, activations: 0, steps: 120 };
  expect(await errorOf("quantize-brecq", given)).toBeLessThan(0.85 * nearest);
});

test("the last block may give one number for each record, without an axis of channels", async () => {
  const start = layerModel(["N", 8], (g, x) => {
    const hidden = g.Relu(g.MatMul(x, g.constant(normal(8 * 64), { shape: [8, 64] })));
    return g.MatMul(hidden, g.constant(normal(64), { shape: [64] }));
  });
  const x = tensor("float32", [16, 8], normal(16 * 8));
  const env = environmentOf(
    { name: "vector", model: start, feeds: () => ({ x }) },
    { calibration: tensorDataset({ x }), training: tensorDataset({ x }), feeds: { x } },
  );
  const { model } = await apply(start, "quantize-brecq", { ends: 8, steps: 2, batch: 8 }, env);
  const [wanted, found] = [start, model].map(({ graph }) => evaluateGraph(graph, { x }).y.floats());
  const largest = Math.max(...wanted.map(Math.abs));
  for (const [i, y] of found.entries()) expect(Math.abs(y - wanted[i])).toBeLessThan(0.1 * largest);
});
