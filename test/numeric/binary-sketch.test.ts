import { describe, expect, test } from "vitest";
import { binarySketch } from "../../src/numeric/binary-sketch.ts";
import { createRandom } from "../../src/numeric/random.ts";

const random = createRandom(9);
const w = Float32Array.from({ length: 60 }, random.normal);

function errorOf(x: Float32Array, count: number, isRefined: boolean): number {
  const { signs, scales } = binarySketch(x, count, isRefined);
  let error = 0;
  for (const [i, value] of x.entries()) {
    let sum = 0;
    for (let k = 0; k < count; k++) {
      const sign = signs[k * x.length + i];
      expect(Math.abs(sign)).toBe(1);
      sum += scales[k] * sign;
    }
    error += (value - sum) ** 2;
  }
  return error;
}

describe.each([
  ["direct", false],
  ["refined", true],
] as const)("%s", (_, isRefined) => {
  test("the rest never grows with more tensors", () => {
    const errors = [1, 2, 3, 4, 5, 6, 7, 8].map((count) => errorOf(w, count, isRefined));
    for (let k = 1; k < 8; k++) expect(errors[k]).toBeLessThanOrEqual(errors[k - 1] + 1e-9);
    // The paper's bound for the direct one: |r|^2 <= |w|^2 (1 - 1 / t)^K (theorem 1).
    const energy = w.reduce((sum, x) => sum + x * x, 0);
    for (const [k, error] of errors.entries()) {
      expect(error).toBeLessThanOrEqual(energy * (1 - 1 / w.length) ** (k + 1));
    }
  });

  test("one tensor is the best: the sign, by the mean magnitude", () => {
    const { signs, scales } = binarySketch(w, 1, isRefined);
    expect([...signs]).toEqual([...w].map((x) => (x < 0 ? -1 : 1)));
    expect(scales[0]).toBeCloseTo(w.reduce((sum, x) => sum + Math.abs(x), 0) / w.length, 6);
  });

  test("a sum of two binary vectors is found again", () => {
    const sum = w.map((_, i) => (i % 2 ? 0.75 : -0.75) + (i % 4 < 2 ? 0.25 : -0.25));
    expect(errorOf(sum, 2, isRefined)).toBeLessThan(1e-12);
    // More than that are of no use, and do no harm.
    expect(errorOf(sum, 5, isRefined)).toBeLessThan(1e-12);
  });
});

test("refined scales are the least squares of the signs: no scale can be moved to gain", () => {
  const count = 4;
  const { signs, scales } = binarySketch(w, count, true);
  const rest = w.map((x, i) => {
    let sum = 0;
    for (let k = 0; k < count; k++) sum += scales[k] * signs[k * w.length + i];
    return x - sum;
  });
  for (let k = 0; k < count; k++) {
    expect(rest.reduce((sum, r, i) => sum + r * signs[k * w.length + i], 0)).toBeCloseTo(0, 4);
  }
  expect(errorOf(w, count, true)).toBeLessThan(errorOf(w, count, false));
});
