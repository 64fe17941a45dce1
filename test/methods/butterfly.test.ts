/** @file Butterfly matrices: found again where they are some, and never worse with more numbers. */
import { describe, expect, test } from "vitest";
import { nearestButterfly } from "../../src/numeric/butterfly.ts";
import { hadamard } from "../../src/numeric/diagonals.ts";
import { errorOf, normals, project, storedIn } from "./structured.ts";

const normal = normals(81);

/** The product of the factors as dense matrices: level s mixes the halves of each of its 2^s blocks. */
function expand(levels: readonly ArrayLike<number>[], n: number): Float64Array {
  let w = Float64Array.from({ length: n * n }, (_, at) => (at % (n + 1) === 0 ? 1 : 0));
  for (const [s, level] of levels.entries()) {
    const half = n / 2 ** (s + 1);
    const factor = new Float64Array(n * n);
    for (let c = 0; c < 2 ** s; c++) {
      for (let j = 0; j < half; j++) {
        for (const l of [0, 1]) {
          for (const i of [0, 1]) {
            const [row, column] = [(2 * c + l) * half + j, (2 * c + i) * half + j];
            factor[row * n + column] = level[((2 * c + l) * half + j) * 2 + i];
          }
        }
      }
    }
    const next = new Float64Array(n * n);
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < n; k++) {
        for (let j = 0; j < n; j++) next[i * n + j] += w[i * n + k] * factor[k * n + j];
      }
    }
    w = next;
  }
  return w;
}

describe("nearestButterfly", () => {
  test("finds products of such factors again, and the Hadamard matrix among them", () => {
    for (const n of [2, 4, 16]) {
      const levels = Array.from({ length: Math.log2(n) }, () => normal(2 * n));
      const w = expand(levels, n);
      expect(errorOf(w, expand(nearestButterfly(w, n), n))).toBeLessThan(1e-20);
      const h = hadamard(n);
      expect(errorOf(h, expand(nearestButterfly(h, n), n))).toBeLessThan(1e-20);
    }
  });

  test("is nearer than 20 drawn ones, and zeros stay zeros", () => {
    const n = 16;
    const w = Float64Array.from(normal(n * n));
    const least = errorOf(w, expand(nearestButterfly(w, n), n));
    expect(least).toBeLessThan(1);
    for (let trial = 0; trial < 20; trial++) {
      const drawn = nearestButterfly(w, n).map((level) => {
        const step = normal(level.length);
        return level.map((x, at) => x + 0.2 * step[at]);
      });
      expect(errorOf(w, expand(drawn, n))).toBeGreaterThan(least);
    }
    expect(nearestButterfly(new Float64Array(16), 4).flatMap((level) => [...level])).not.toContain(
      Number.NaN,
    );
    expect(expand(nearestButterfly(new Float64Array(16), 4), 4)).toEqual(new Float64Array(16));
  });
});

test("butterfly keeps to the ratio; more numbers are never worse", async () => {
  const [rows, columns] = [60, 84];
  const w = normal(rows * columns);
  let last = 1;
  for (const ratio of [3.2, 2.5, 1.6]) {
    const weight = await project("butterfly", w, [rows, columns], { ratio });
    expect(storedIn(weight)).toBeLessThanOrEqual(w.length / ratio);
    const error = errorOf(w, weight.values);
    expect(error).toBeLessThan(last);
    last = error;
  }
  await expect(project("butterfly", w, [rows, columns], { ratio: 100 })).rejects.toThrow(
    "has no butterfly matrix of 50 numbers: 60 x 84",
  );
});
