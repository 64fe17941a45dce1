/** @file Fixed-point formats: the step is the least power of two, rounding as it was published. */
import { describe, expect, test } from "vitest";
import { createRandom } from "../../src/numeric/random.ts";
import { readModel } from "../../src/onnx/read.ts";
import { apply, environmentOf } from "../support/apply.ts";
import { kindOf, layerModel, partOf, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const env = environmentOf(nets[0]);
const shape = [64, 80];

/** The weight, its levels and step, read back from the file, and the file's bytes. */
async function rounded(values: Float32Array, options: Record<string, unknown>, seed = 1) {
  const model = layerModel(["N", 80], (g, x) =>
    g.Gemm(x, g.constant(values, { shape }), null, { transB: 1 }),
  );
  const { bytes } = await apply(model, "fixed-point", options, { ...env, seed });
  const file = readModel(bytes, { name: "fixed" });
  const [{ weight }] = weightsIn(file);
  const [step] = Array.from(partOf(weight, "scale"));
  return { weight, step, levels: Array.from(partOf(weight, "levels")), bytes, file };
}

const random = createRandom(4);
const values = Float32Array.from({ length: 64 * 80 }, () => 0.2 * random.normal());

describe.each([4, 8, 12, 16])("%d bits", (bits) => {
  test.each([1, -1, 40, 0.001])(
    "range times %d: nearest, on the finest grid that holds it",
    async (by) => {
      const scaled = values.map((w) => w * by);
      const { weight, step, levels } = await rounded(scaled, { bits });
      expect(kindOf(weight)).toBe("grid");
      expect(Number.isInteger(Math.log2(step))).toBe(true);
      const [low, high] = [Math.min(...scaled), Math.max(...scaled)];
      const fits = (e: number) =>
        low >= -(2 ** (bits - 1)) * e && high <= (2 ** (bits - 1) - 1) * e;
      expect([fits(step), fits(step / 2)]).toEqual([true, false]);
      for (const [i, w] of scaled.entries()) {
        expect(Math.abs(w - levels[i] * step)).toBeLessThanOrEqual(step / 2);
        expect(weight.values[i]).toBe(levels[i] * step);
      }
    },
  );
});

test("16 bits are two bytes in the file, 8 bits one", async () => {
  const wide = await rounded(values, { bits: 16 });
  expect([...wide.file.graph.constants].map(({ tensor }) => tensor?.dtype)).toContain("int16");
  const narrow = await rounded(values, { bits: 8 });
  expect(wide.bytes.length - 2 * values.length).toBeLessThan(400);
  expect(narrow.bytes.length - values.length).toBeLessThan(400);
});

test("the lower of two equally near numbers", async () => {
  // 2^-3 is the step: 7 * 2^-3 is the largest.
  const on = Float32Array.from(values, (_, i) => [0.875, 0.0625, -0.0625, 0.3125][i % 4]);
  const { step, levels } = await rounded(on, { bits: 4 });
  expect(step).toBe(0.125);
  expect(levels.slice(0, 4).map((q) => q + 0)).toEqual([7, 0, -1, 2]);
});

test("stochastic rounding has no bias and takes the two numbers around", async () => {
  // A weight of 0.875 fixes the step at 2^-3; the others lie 0.3 of a step above -2 steps.
  const all = Float32Array.from(values, (_, i) => (i === 0 ? 0.875 : 0.125 * -1.7));
  const { levels, step } = await rounded(all, { bits: 4, rounding: "stochastic" });
  expect(step).toBe(0.125);
  expect(levels[0]).toBe(7);
  expect(new Set(levels.slice(1))).toEqual(new Set([-2, -1]));
  const n = levels.length - 1;
  const ups = levels.slice(1).filter((q) => q === -1).length;
  // Four standard deviations of n draws with probability 0.3.
  expect(Math.abs(ups / n - 0.3)).toBeLessThan(4 * Math.sqrt((0.3 * 0.7) / n));
  const other = await rounded(all, { bits: 4, rounding: "stochastic" }, 2);
  expect(other.levels).not.toEqual(levels);
  // Whole numbers of steps stay.
  const whole = Float32Array.from(values, (_, i) => ((i % 16) - 8) / 8);
  const kept = await rounded(whole, { bits: 4, rounding: "stochastic" });
  expect([...kept.weight.values].map((w) => w + 0)).toEqual([...whole].map((w) => w + 0));
});

test("zeros stay zero", async () => {
  const { weight } = await rounded(new Float32Array(64 * 80), { bits: 8 });
  expect(weight.values.every((w) => w === 0)).toBe(true);
});
