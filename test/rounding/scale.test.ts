/** @file Scales, zero points and blocks against values whose answer is known. */
import { describe, expect, test } from "vitest";
import { fitZero } from "../../src/methods/quantization/quantize-hqq.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { blocksOf, nearestLevel, rangeOf } from "../../src/rounding/matrix.ts";
import { fitScale } from "../../src/rounding/scale.ts";

const random = createRandom(8);
const ones = (n: number): Float64Array => new Float64Array(n).fill(1);

describe("fitScale", () => {
  test("finds the step of values that lie on a grid, and a zero point where they are one-sided", () => {
    const symmetric = fitScale(
      [-7, 3, 5, 7].map((q) => 0.25 * q),
      ones(4),
      rangeOf(4, true),
    );
    expect(symmetric).toEqual({ scale: 0.25, zeroPoint: 0 });
    const oneSided = fitScale(
      [0, 2, 9, 15].map((q) => 0.5 * q),
      ones(4),
      rangeOf(4, false),
    );
    expect(oneSided).toEqual({ scale: 0.5, zeroPoint: -8 });
    expect(fitScale([0, 0], ones(2), rangeOf(4, true))).toEqual({ scale: 1, zeroPoint: 0 });
  });

  test("clips a value that counts little, and covers it if it counts much", () => {
    const values = [...Array.from({ length: 15 }, (_, i) => 0.1 * (i - 7)), 2];
    const little = ones(16).with(15, 1e-3);
    const much = ones(16).with(15, 1e3);
    const range = rangeOf(3, true);
    expect(fitScale(values, little, range).scale).toBeLessThan(0.34);
    expect(fitScale(values, much, range).scale).toBeGreaterThan(0.6);
  });
});

test("blocks are runs of input channels at each kernel position, the last may be short", () => {
  expect([...blocksOf(10, 5, 2).of]).toEqual([0, 0, 1, 1, 2, 3, 3, 4, 4, 5]);
  expect(blocksOf(10, 5, 2).count).toBe(6);
  expect([...blocksOf(4, 4, 0).of]).toEqual([0, 0, 0, 0]);
  expect(nearestLevel(0.9, 0.2, -1, rangeOf(3, false))).toBe(3);
  expect(nearestLevel(-9, 0.2, -1, rangeOf(3, false))).toBe(-4);
});

test("HQQ's zero point has a smaller error in its norm than the one of the range", () => {
  const range = rangeOf(3, false);
  const errorOf = (w: Float64Array, z: number): number =>
    w.reduce((sum, x) => sum + Math.abs(x - (nearestLevel(x, 1, z, range) - z)) ** 0.7, 0);
  let [better, ratio] = [0, 0];
  for (let trial = 0; trial < 20; trial++) {
    const w = Float64Array.from({ length: 32 }, () => 0.2 + 1.3 * random.normal());
    const first = Math.round(-4 - Math.min(...w));
    const found = fitZero(w, first, range, { norm: 0.7, iterations: 20 });
    if (errorOf(w, found) < errorOf(w, first)) better++;
    expect(errorOf(w, found)).toBeLessThanOrEqual(errorOf(w, first));
    const best = Math.min(
      ...Array.from({ length: 200 }, (_, i) => errorOf(w, first - 1 + i / 100)),
    );
    ratio += errorOf(w, found) / best / 20;
  }
  expect(better).toBeGreaterThan(12);
  expect(ratio).toBeLessThan(1.2);
});
