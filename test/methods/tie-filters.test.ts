/** @file Copies of filters: planted ones are found again, the rest is left alone with a reason. */
import { describe, expect, test } from "vitest";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import type { Composed, Weight } from "../../src/weights/weight.ts";
import { apply, environmentOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const env = environmentOf(nets[0], { calibration: null });
const random = createRandom(4);
const normal = (size: number): Float32Array => Float32Array.from({ length: size }, random.normal);

type Kernel = (y: number, x: number) => number;

/** By name, in plain coordinates of a 3 x 3 kernel. */
const moves: Readonly<Record<string, (w: Kernel) => Kernel>> = {
  same: (w) => w,
  negated: (w) => (y, x) => -w(y, x),
  quarter: (w) => (y, x) => w(x, 2 - y),
  half: (w) => (y, x) => w(2 - y, 2 - x),
  threeQuarters: (w) => (y, x) => w(2 - x, y),
  mirrored: (w) => (y, x) => w(y, 2 - x),
  upsideDown: (w) => (y, x) => w(2 - y, x),
  transposed: (w) => (y, x) => w(x, y),
  antiTransposed: (w) => (y, x) => -w(2 - x, 2 - y),
};
const names = Object.keys(moves);

const convOf = (w: Float32Array, shape: readonly number[]) =>
  layerModel(["N", shape[1], 8, 8], (g, x) => g.Conv(x, g.constant(w, { shape })));

/**
 * [bases x moves, channels, 3, 3]: each base filter under each move of every channel alike, times
 * 0.5 to 1.5, with noise of that standard deviation.
 */
function planted(bases: number, channels: number, noise: number, kinds = names) {
  const base = normal(bases * channels * 9);
  const w: number[] = [];
  for (const kind of kinds) {
    for (let b = 0; b < bases; b++) {
      const scale = 0.5 + random.float();
      for (let c = 0; c < channels; c++) {
        const at = moves[kind]((y, x) => base[(b * channels + c) * 9 + y * 3 + x]);
        for (let y = 0; y < 3; y++) {
          for (let x = 0; x < 3; x++) w.push(scale * at(y, x) + noise * random.normal());
        }
      }
    }
  }
  return { w: Float32Array.from(w), shape: [bases * kinds.length, channels, 3, 3] };
}

const partOf = (weight: Weight, ...path: string[]): Weight =>
  path.reduce((at, name) => (at as Composed).theta[name], weight);
const power = (values: Float32Array): number => values.reduce((sum, w) => sum + w * w, 0);
const errorOf = (w: Float32Array, near: Float32Array): number =>
  power(w.map((x, i) => x - near[i])) / power(w);

async function tie(w: Float32Array, shape: readonly number[], options: object, around = env) {
  const id = "structure" in options ? "transfer-filters" : "tie-filters";
  const { model, skipped } = await apply(convOf(w, shape), id, { ...options }, around);
  return { weight: weightsIn(model)[0].weight, skipped };
}

describe("tie-filters", () => {
  test("finds the base filters of planted copies, and what noise leaves of them", async () => {
    const noise = 0.01;
    const { w, shape } = planted(3, 12, noise);
    const { weight } = await tie(w, shape, { error: 0.001 });
    expect(partOf(weight, "weight", "base").shape).toEqual([3, 12, 3, 3]);
    expect(errorOf(w, weight.values)).toBeLessThan(1.5 * noise ** 2);
    // All copies of one base share it; the filters of different ones do not.
    const index = partOf(weight, "weight", "index").values;
    const own = Array.from(index, (i) => i % 3);
    for (const [i, base] of own.entries()) expect(base).toBe(own[i % 3]);
    expect(new Set(own)).toEqual(new Set([0, 1, 2]));
  });

  test("exact copies are tied without any error", async () => {
    const { w, shape } = planted(3, 12, 0);
    const { weight } = await tie(w, shape, { error: 0 });
    expect(partOf(weight, "weight", "base").shape[0]).toBe(3);
    expect(errorOf(w, weight.values)).toBeLessThan(1e-12);
  });

  test.each([
    ["negate", ["same", "negated"]],
    ["turn", ["same", "quarter", "half", "threeQuarters"]],
    ["mirror", ["same", "mirrored", "upsideDown"]],
  ] as const)("%s=false finds only the others", async (option, kinds) => {
    const { w, shape } = planted(4, 12, 0, [...kinds]);
    const others = { negate: false, turn: false, mirror: false };
    const { weight } = await tie(w, shape, { error: 0.001, ...others, [option]: true });
    expect(partOf(weight, "weight", "base").shape[0]).toBe(4);
    const { skipped } = await tie(w, shape, { error: 0.001, ...others });
    expect(skipped.map(({ reason }) => reason)).toEqual([
      expect.stringContaining("different filters"),
    ]);
  });

  test("single kernels may be copies where filters are none", async () => {
    const { w } = planted(4, 1, 0);
    // 256 filters of 2 channels, each with a random kernel of the 36.
    const shape = [256, 2, 3, 3];
    const mixed = new Float32Array(256 * 2 * 9);
    for (let i = 0; i < 512; i++) {
      const at = 9 * random.int(36);
      mixed.set(w.subarray(at, at + 9), 9 * i);
    }
    const { weight } = await tie(mixed, shape, { error: 1e-6, unit: "kernel" });
    expect(partOf(weight, "weight", "base").shape).toEqual([4, 3, 3]);
    expect(partOf(weight, "weight", "index").shape).toEqual([256, 2]);
    expect(errorOf(mixed, weight.values)).toBeLessThan(1e-12);
  });

  test("shifted copies are windows of base filters", async () => {
    const [bases, channels] = [3, 12];
    const meta = normal(bases * channels * 16);
    const w = new Float32Array(bases * 4 * channels * 9);
    for (let i = 0; i < w.length; i++) {
      const [x, y, c] = [i % 3, Math.floor(i / 3) % 3, Math.floor(i / 9) % channels];
      const filter = Math.floor(i / (9 * channels));
      const [b, p, q] = [
        filter % bases,
        Math.floor(filter / bases) & 1,
        filter >= 2 * bases ? 1 : 0,
      ];
      w[i] = meta[((b * channels + c) * 4 + y + p) * 4 + x + q];
    }
    const options = { error: 1e-3, shift: 1, turn: false, mirror: false, negate: false };
    const { weight } = await tie(w, [12, channels, 3, 3], { ...options, scale: false });
    expect(weight.form?.kind).toBe("copies");
    expect(partOf(weight, "base").shape).toEqual([3, channels, 4, 4]);
    expect(errorOf(w, weight.values)).toBeLessThan(1e-3);
  });

  test("differences in channels whose inputs are zero do not count", async () => {
    const { w, shape } = planted(4, 12, 0, ["same", "quarter", "half", "threeQuarters"]);
    const broken = w.map((x, i) => (Math.floor(i / 9) % 12 < 4 ? 3 * random.normal() : x));
    const { skipped } = await tie(broken, shape, { error: 0.02 });
    expect(skipped).toHaveLength(1);
    const x = normal(16 * 12 * 64).map((x, i) => (Math.floor(i / 64) % 12 < 4 ? 0 : x));
    const calibration = tensorDataset({ x: tensor("float32", [16, 12, 8, 8], x) });
    // A hundredth of the mean remains of the weight of each silent channel.
    const found = await tie(broken, shape, { error: 0.1 }, { ...env, calibration });
    expect(partOf(found.weight, "weight", "base").shape[0]).toBe(4);
    const live = (values: Float32Array) => values.filter((_, i) => Math.floor(i / 9) % 12 >= 4);
    expect(errorOf(live(broken), live(found.weight.values))).toBeLessThan(0.02);
  });
});

describe("errors count by the inputs", () => {
  const silent = (channel: number): boolean => channel % 8 < 3;
  /** Records whose silent channels are zero. */
  const calibration = tensorDataset({
    x: tensor(
      "float32",
      [16, 48, 8, 8],
      normal(16 * 48 * 64).map((x, i) => (silent(Math.floor(i / 64) % 48) ? 0 : x)),
    ),
  });

  /** Kernels of 3 bases, but noise where channels are silent. */
  const kernels = (count: number, channelOf: (i: number) => number): Float32Array => {
    const { w } = planted(3, 1, 0);
    const found = new Float32Array(count * 9);
    for (let i = 0; i < count; i++) {
      const at = 9 * random.int(27);
      found.set(silent(channelOf(i)) ? normal(9) : w.subarray(at, at + 9), 9 * i);
    }
    return found;
  };
  const liveError = (w: Float32Array, near: Float32Array, channelOf: (i: number) => number) => {
    const live = (values: Float32Array) =>
      values.filter((_, i) => !silent(channelOf(Math.floor(i / 9))));
    return errorOf(live(w), live(near));
  };

  test("of the channel that a kernel multiplies", async () => {
    const channelOf = (i: number): number => i % 48;
    const w = kernels(8 * 48, channelOf);
    const options = { error: 0.01, unit: "kernel" };
    const { weight } = await tie(w, [8, 48, 3, 3], options, { ...env, calibration });
    expect(partOf(weight, "weight", "base").shape[0]).toBe(3);
    expect(liveError(w, weight.values, channelOf)).toBeLessThan(0.01);
    const plain = await tie(w, [8, 48, 3, 3], options);
    expect(partOf(plain.weight, "weight", "base").shape[0]).toBeGreaterThan(12);
  });

  test("of the group of a depthwise filter", async () => {
    const channelOf = (i: number): number => i >> 1;
    const w = kernels(96, channelOf);
    const model = layerModel(["N", 48, 8, 8], (g, x) =>
      g.Conv(x, g.constant(w, { shape: [96, 1, 3, 3] }), { group: 48 }),
    );
    const around = { ...env, calibration };
    const { model: tied } = await apply(model, "tie-filters", { error: 0.02 }, around);
    const [{ weight }] = weightsIn(tied);
    expect(partOf(weight, "weight", "base").shape[0]).toBeLessThan(12);
    expect(liveError(w, weight.values, channelOf)).toBeLessThan(0.02);
  });
});

test("training moves the base filters and scales, and copies stay copies", async () => {
  const { w, shape } = planted(3, 12, 0.3);
  const start = convOf(w, shape);
  const tied = (await apply(start, "tie-filters", { error: 0.3 }, env)).model;
  const x = tensor("float32", [16, 12, 8, 8], normal(16 * 12 * 64));
  const around = { ...env, training: tensorDataset({ x }), teacher: start };
  const options = { loss: "logits", steps: 4, batch: 16, holdout: 0, rate: 0.01 };
  const { model } = await apply(tied, "train", options, around);
  const [before, after] = [tied, model].map((one) => weightsIn(one)[0].weight);
  const part = (name: string) => [before, after].map((weight) => partOf(weight, "weight", name));
  const [index, same] = part("index");
  expect(same.values).toEqual(index.values);
  const [base, moved] = part("base");
  expect(moved.shape).toEqual(base.shape);
  expect(moved.values).not.toEqual(base.values);
  expect(errorOf(w, after.values)).toBeLessThan(errorOf(w, before.values) * 1.5);
});

describe("transfer-filters", () => {
  test.each([
    ["crelu", 2, ["same", "negated"]],
    ["mba", 2, ["same", "same"]],
    ["circ", 4, ["same", "quarter", "half", "threeQuarters"]],
  ] as const)("%s: a layer of that structure is found again", async (structure, ratio, kinds) => {
    const { w, shape } = planted(6, 12, 0, [...kinds]);
    const { weight } = await tie(w, shape, { structure });
    expect(partOf(weight, "weight", "base").shape).toEqual([shape[0] / ratio, 12, 3, 3]);
    expect(errorOf(w, weight.values)).toBeLessThan(1e-12);
  });

  test.each(["crelu", "mba", "circ", "dcnn"])(
    "%s: keeps its number of bases, and no step from them is nearer",
    async (structure) => {
      const shape = [16, 12, 3, 3];
      const w = normal(16 * 12 * 9);
      const { weight } = await tie(w, shape, { structure, scale: false });
      const base = partOf(weight, "base");
      expect(base.shape[0]).toBeLessThanOrEqual(
        structure === "crelu" || structure === "mba" ? 8 : 4,
      );
      const least = errorOf(w, weight.values);
      expect(least).toBeLessThan(1);
      const { form, theta } = weight as Composed;
      for (let trial = 0; trial < 4; trial++) {
        const values = (base.values as Float32Array).map((b) => b + 0.05 * random.normal());
        const { composed } = await import("../../src/weights/weight.ts");
        const moved = composed(form, shape, { ...theta, base: { ...base, values } as Weight });
        expect(errorOf(w, moved.values)).toBeGreaterThan(least);
      }
    },
  );
});
