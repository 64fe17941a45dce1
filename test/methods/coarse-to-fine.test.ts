/** @file Dynamic capacity: which cells are seen finely, what the model then gives, and what is refused. */
import { describe, expect, test } from "vitest";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(12);
const normal = (size: number) => Float32Array.from({ length: size }, () => random.normal());

const [SIDE, CHANNELS, CLASSES] = [8, 3, 4];
const KERNEL = normal(CHANNELS * 9);
const HEAD = normal(CLASSES * CHANNELS);
const BIAS = normal(CLASSES);

/** y = W mean(Relu(K * x)) + b, K 3x3 with stride 1. */
const model = layerModel(["N", 1, SIDE, SIDE], (g, image) => {
  const kernel = g.constant(KERNEL, { shape: [CHANNELS, 1, 3, 3] });
  const map = g.Relu(g.Conv(image, kernel, { pads: [1, 1, 1, 1] }));
  const mean = g.ReduceMean(map, g.ints([2, 3]), { keepdims: 0 });
  const head = g.constant(HEAD, { shape: [CLASSES, CHANNELS] });
  return g.Gemm(mean, head, g.constant(BIAS, { shape: [CLASSES] }), { transB: 1 });
});

type Map = (channel: number, row: number, column: number) => number;

/** Relu(K * x) of a square image of this side, by the definition. */
const features =
  (image: (row: number, column: number) => number, side: number): Map =>
  (c, i, j) => {
    let sum = 0;
    for (let u = 0; u < 3; u++) {
      for (let v = 0; v < 3; v++) {
        const [row, column] = [i + u - 1, j + v - 1];
        const isIn = row >= 0 && row < side && column >= 0 && column < side;
        if (isIn) sum += KERNEL[c * 9 + u * 3 + v] * image(row, column);
      }
    }
    return Math.max(0, sum);
  };

const channels = Array.from({ length: CHANNELS }, (_, c) => c);
const range = (side: number) => Array.from({ length: side }, (_, i) => i);
const meanOf = (map: Map, side: number) =>
  channels.map((c) => {
    const rows = range(side).flatMap((i) => range(side).map((j) => map(c, i, j)));
    return rows.reduce((a, b) => a + b, 0) / side ** 2;
  });
const scoresOf = (mean: readonly number[]) =>
  range(CLASSES).map((k) =>
    channels.reduce((s, c) => s + HEAD[k * CHANNELS + c] * mean[c], BIAS[k]),
  );

/** The entropy of the softmax. */
function entropy(scores: readonly number[]): number {
  const parts = scores.map((z) => Math.exp(z - Math.max(...scores)));
  const sum = parts.reduce((a, b) => a + b, 0);
  return parts.reduce((h, part) => h - (part / sum) * Math.log(part / sum), 0);
}

/** What the method should make of an image with a 2 x 2 grid: scores, and cells by how they matter. */
function expected(image: Float32Array, patches: number) {
  const half = SIDE / 2;
  const at = (row: number, column: number) => image[row * SIDE + column];
  const small = (i: number, j: number) =>
    (at(2 * i, 2 * j) + at(2 * i + 1, 2 * j) + at(2 * i, 2 * j + 1) + at(2 * i + 1, 2 * j + 1)) / 4;
  const coarse = features(small, half);
  const mean = meanOf(coarse, half);
  // The slope of the entropy along each channel's mean, by differences.
  const slopes = channels.map((c) => {
    const moved = (by: number) => entropy(scoresOf(mean.map((m, k) => m + (k === c ? by : 0))));
    return (moved(1e-5) - moved(-1e-5)) / 2e-5;
  });
  const cells = range(4).map((cell) => {
    const [top, left] = [Math.floor(cell / 2), cell % 2].map((k) => (k * half) / 2);
    let sum = 0;
    for (const i of range(half / 2)) {
      for (const j of range(half / 2)) {
        const parts = channels.map((c) => slopes[c] * coarse(c, top + i, left + j));
        sum += Math.abs(parts.reduce((a, b) => a + b, 0));
      }
    }
    return { cell, sum };
  });
  const best = cells
    .toSorted((a, b) => b.sum - a.sum)
    .slice(0, patches)
    .map(({ cell }) => cell);
  const mixed: Map = (c, i, j) => {
    const [row, column] = [i, j].map((k) => Math.floor(k / half));
    if (!best.includes(2 * row + column)) return coarse(c, Math.floor(i / 2), Math.floor(j / 2));
    const patch = (u: number, v: number) => at(row * half + u, column * half + v);
    return features(patch, half)(c, i % half, j % half);
  };
  return { scores: scoresOf(meanOf(mixed, SIDE)), best };
}

const records = 16;
const images = Array.from({ length: records }, () => normal(SIDE * SIDE));
const all = Float32Array.from(images.flatMap((image) => [...image]));
const feeds = { x: tensor("float32", [records, 1, SIDE, SIDE], all) };
const env = environmentOf(nets[0], { training: tensorDataset(feeds), feeds });
const untrained = { epochs: 0, always: true };

describe("dynamic capacity", () => {
  test.each([1, 3])("looks again at the %i cells that matter most", async (patches) => {
    const { bytes } = await apply(model, "coarse-to-fine", { ...untrained, patches }, env);
    const { y } = await outputsOf(bytes, feeds);
    const chosen = new Set<string>();
    for (const [n, image] of images.entries()) {
      const { scores, best } = expected(image, patches);
      chosen.add(best.join());
      for (const [k, z] of scores.entries()) expect(y.floats()[n * CLASSES + k]).toBeCloseTo(z, 4);
    }
    // Records differ in where they are looked at.
    expect(chosen.size).toBeGreaterThan(2);
  });

  test("learns to answer as the model does", async () => {
    const { y: wanted } = await outputsOf(concat(writeModel(model)), feeds);
    const error = async (options: object) => {
      const { bytes } = await apply(model, "coarse-to-fine", { ...untrained, ...options }, env);
      const { y } = await outputsOf(bytes, feeds);
      return y.floats().reduce((sum, z, i) => sum + (z - wanted.floats()[i]) ** 2, 0);
    };
    const trained = await error({ steps: 100, batch: 16, rate: 0.01 });
    expect(trained).toBeLessThan(0.7 * (await error({})));
  });

  test("is refused where it is slower, and where there are no cells", async () => {
    const slow = { compare: async () => ({ value: 0.5, ci95: [0.4, 1.1] as const }) };
    const { skipped, model: same } = await apply(model, "coarse-to-fine", {}, env, slow);
    expect(skipped[0].reason).toMatch(
      /^stays: with 1 layer seeing 1 of 4 cells the model runs at 0.50x \(0.40 to 1.10\) on /,
    );
    expect([...same.graph.nodes].length).toBe([...model.graph.nodes].length);
    const fine = await apply(model, "coarse-to-fine", { ...untrained, patches: 4 }, env);
    expect(fine.skipped[0].reason).toMatch(/has 4 cells, all of which would be fine/);
    const odd = await apply(model, "coarse-to-fine", { ...untrained, grid: 3 }, env);
    expect(odd.skipped[0].reason).toMatch(/8 x 8 cannot be divided into 3 cells/);
  });

  test("is refused where positions are not treated alike, or the end is another", async () => {
    const uneven = layerModel(["N", 1, SIDE, SIDE], (g, image) => {
      const moved = g.Add(image, g.constant(normal(SIDE * SIDE), { shape: [1, 1, SIDE, SIDE] }));
      const mean = g.ReduceMean(moved, g.ints([2, 3]), { keepdims: 0 });
      return g.Gemm(mean, g.constant(normal(3), { shape: [1, 3] }));
    });
    const { skipped } = await apply(uneven, "coarse-to-fine", untrained, env);
    expect(skipped[0].reason).toMatch(/does not treat all positions alike/);
    const flat = layerModel(["N", 1, SIDE, SIDE], (g, image) =>
      g.Gemm(g.Flatten(image), g.constant(normal(SIDE * SIDE * 3), { shape: [SIDE * SIDE, 3] })),
    );
    const other = await apply(flat, "coarse-to-fine", untrained, env);
    expect(other.skipped[0].reason).toMatch(/does not end in a mean over positions/);
  });
});
