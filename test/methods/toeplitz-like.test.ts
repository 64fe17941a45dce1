/** @file Low displacement rank: exact where the rank suffices, and never worse by least squares. */
import { describe, expect, test } from "vitest";
import { svd } from "../../src/numeric/svd.ts";
import {
  displacement,
  fromDisplacement,
  type Generators,
  refine,
} from "../../src/numeric/toeplitz-like.ts";
import { errorOf, normals, project, storedIn } from "./structured.ts";

const normal = normals(51);

/** The matrix Z_f(v) [n, n], by shifting v once for each column. */
function shifts(v: ArrayLike<number>, f: number): number[][] {
  const columns = [Array.from(v)];
  for (let t = 1; t < v.length; t++) {
    const before = columns[t - 1];
    columns.push([f * before[v.length - 1], ...before.slice(0, -1)]);
  }
  return columns;
}

/** sum_k Z_1(g_k) Z_-1(h_k)^T, by outer products of columns. */
function expand({ rank, g, h }: Generators, n: number): Float64Array {
  const w = new Float64Array(n * n);
  for (let k = 0; k < rank; k++) {
    const left = shifts(g.subarray(k * n, (k + 1) * n), 1);
    const right = shifts(h.subarray(k * n, (k + 1) * n), -1);
    for (let t = 0; t < n; t++) {
      for (let i = 0; i < n; i++)
        for (let j = 0; j < n; j++) w[i * n + j] += left[t][i] * right[t][j];
    }
  }
  return w;
}

const generators = (n: number, rank: number): Generators => ({
  rank,
  g: Float64Array.from(normal(rank * n)),
  h: Float64Array.from(normal(rank * n)),
});

describe("displacement", () => {
  test("of a Toeplitz matrix has rank 2, of a sum of r products rank r", () => {
    const n = 11;
    const diagonals = normal(2 * n);
    const toeplitz = Float64Array.from(
      { length: n * n },
      (_, at) => diagonals[n + Math.floor(at / n) - (at % n)],
    );
    const rankOf = (w: Float64Array): number => {
      const { s } = svd(displacement(w, n), n, n);
      return s.filter((x) => x > 1e-8 * s[0]).length;
    };
    expect(rankOf(toeplitz)).toBe(2);
    expect(rankOf(expand(generators(n, 3), n))).toBe(3);
    expect(errorOf(toeplitz, expand(fromDisplacement(toeplitz, n, 2), n))).toBeLessThan(1e-20);
  });

  test("of even and odd sizes is inverted exactly", () => {
    for (const n of [1, 2, 9, 12]) {
      const rank = Math.min(n, 3);
      const w = expand(generators(n, rank), n);
      expect(errorOf(w, expand(fromDisplacement(w, n, rank), n))).toBeLessThan(1e-20);
      expect(errorOf(w, expand(fromDisplacement(w, n, n), n))).toBeLessThan(1e-20);
    }
  });
});

describe("least squares from there", () => {
  test("never enlarges the error, and leaves no better generators on one side", () => {
    const [n, rank] = [10, 2];
    const w = normal(n * n);
    let found = fromDisplacement(w, n, rank);
    let last = errorOf(w, expand(found, n));
    for (let sweep = 0; sweep < 6; sweep++) {
      found = refine(w, n, found, 1, 0);
      const error = errorOf(w, expand(found, n));
      expect(error).toBeLessThanOrEqual(last * (1 + 1e-9));
      last = error;
    }
    expect(last).toBeLessThan(1);
    // The last half of a sweep moved h: no step of h lowers the error.
    for (let trial = 0; trial < 20; trial++) {
      const step = normal(rank * n);
      const h = found.h.map((x, i) => x + 0.02 * step[i]);
      expect(errorOf(w, expand({ ...found, h }, n))).toBeGreaterThan(last);
    }
  });

  test("keeps what is exact", () => {
    for (const n of [7, 8]) {
      const w = expand(generators(n, 2), n);
      const found = refine(w, n, fromDisplacement(w, n, 2), 2, 0);
      expect(errorOf(w, expand(found, n))).toBeLessThan(1e-12);
    }
  });
});

describe("toeplitz-like", () => {
  const [rows, columns] = [60, 84];

  test("a matrix of one low displacement rank is found again, at the edges of blocks too", async () => {
    const size = 60;
    const w = expand(generators(size, 3), size);
    const wide = Float32Array.from({ length: rows * columns }, (_, at) => {
      const [i, j] = [Math.floor(at / columns), at % columns];
      return w[i * size + (j % size)];
    });
    const weight = await project("toeplitz-like", wide.slice(), [rows, columns], { ratio: 6 });
    expect(weight.theta.g.shape).toEqual([2, 3, size]);
    // The second block is cut off, so its displacement has a larger rank; the first one is nearly exact.
    const first = (v: ArrayLike<number>) =>
      Array.from(
        { length: rows * size },
        (_, at) => v[Math.floor(at / size) * columns + (at % size)],
      );
    expect(errorOf(first(wide), first(weight.values))).toBeLessThan(1e-3);
  });

  test("keeps to the ratio, and more numbers are never worse", async () => {
    const w = normal(rows * columns);
    let last = 1;
    for (const ratio of [16, 8, 5]) {
      const weight = await project("toeplitz-like", w, [rows, columns], { ratio });
      expect(storedIn(weight)).toBeLessThanOrEqual(w.length / ratio);
      const error = errorOf(w, weight.values);
      expect(error).toBeLessThan(last);
      last = error;
    }
    await expect(project("toeplitz-like", w, [rows, columns], { ratio: 100 })).rejects.toThrow(
      "has no Toeplitz-like matrix of 50 numbers: 60 x 84",
    );
  });

  test("a block is no larger than the matrix", async () => {
    const w = normal(rows * columns);
    const blocks = [84, 4096].map((block) =>
      project("toeplitz-like", w, [rows, columns], { ratio: 6, block }),
    );
    const [whole, larger] = await Promise.all(blocks);
    expect(larger.theta).toEqual(whole.theta);
  });
});
