/** @file Tensor trains: exact at full rank and on trains of the ranks, within the bound of TT-SVD. */
import { describe, expect, test } from "vitest";
import { svd } from "../../src/numeric/svd.ts";
import {
  factorizations,
  splitSizes,
  tensorTrain,
  trainSize,
} from "../../src/numeric/tensor-train.ts";
import { composed, leaf } from "../../src/weights/weight.ts";
import { errorOf, normals, power, project, storedIn } from "./structured.ts";

const normal = normals(41);

/** Entry by entry: the product of one matrix of each core. */
function expandTrain(dims: readonly number[], ranks: readonly number[], cores: Float32Array[]) {
  const all = [1, ...ranks, 1];
  const size = dims.reduce((a, b) => a * b, 1);
  return Float64Array.from({ length: size }, (_, at) => {
    let row = [1];
    let below = size;
    for (const [k, n] of dims.entries()) {
      below /= n;
      const i = Math.floor(at / below) % n;
      row = Array.from({ length: all[k + 1] }, (_, s) =>
        row.reduce((sum, x, r) => sum + x * cores[k][(r * n + i) * all[k + 1] + s], 0),
      );
    }
    return row[0];
  });
}

describe("TT-SVD", () => {
  test("is exact at full rank", () => {
    const dims = [4, 6, 5, 3];
    const t = normal(360);
    const train = tensorTrain(t, dims, 1e6)!;
    expect(train.ranks).toEqual([4, 15, 3]);
    expect(errorOf(t, expandTrain(dims, train.ranks, [...train.cores]))).toBeLessThan(1e-10);
  });

  test("finds a train of low ranks again, with exactly its numbers", () => {
    const dims = [6, 8, 7];
    const ranks = [2, 3];
    const cores = [normal(12), normal(48), normal(21)];
    const t = expandTrain(dims, ranks, cores);
    const train = tensorTrain(t, dims, trainSize(dims, ranks))!;
    expect(train.ranks).toEqual(ranks);
    expect(errorOf(t, expandTrain(dims, ranks, [...train.cores]))).toBeLessThan(1e-10);
  });

  test("its error is at most what the unfoldings drop, and no ranks have a smaller bound", () => {
    const dims = [6, 8, 7];
    const t = normal(336);
    const numbers = 150;
    const train = tensorTrain(t, dims, numbers)!;
    const dropped = (rows: number, rank: number) =>
      power(svd(t, rows, t.length / rows).s.subarray(rank));
    const bound = (ranks: readonly number[]) => dropped(6, ranks[0]) + dropped(48, ranks[1]);
    const error = errorOf(t, expandTrain(dims, train.ranks, [...train.cores])) * power(t);
    expect(error).toBeLessThanOrEqual(bound(train.ranks) * (1 + 1e-6));
    for (let r = 1; r <= 6; r++) {
      for (let s = 1; s <= 7; s++) {
        if (trainSize(dims, [r, s]) > numbers) continue;
        expect(bound([r, s])).toBeGreaterThanOrEqual(bound(train.ranks) * (1 - 1e-9));
      }
    }
    expect(trainSize(dims, train.ranks)).toBeLessThanOrEqual(numbers);
    expect(tensorTrain(t, dims, 20)).toBeNull();
  });

  test("sizes are split so that cores are alike", () => {
    expect(factorizations(12, 2)).toEqual([
      [1, 12],
      [2, 6],
      [3, 4],
      [4, 3],
      [6, 2],
      [12, 1],
    ]);
    const { rows, columns } = splitSizes(784, 300, 3);
    const dims = rows.map((m, k) => m * columns[k]).sort((a, b) => a - b);
    expect(dims.reduce((a, b) => a * b)).toBe(784 * 300);
    // The cube root of 235,200 is 61.7.
    for (const dim of dims) expect(Math.abs(dim - 61.7)).toBeLessThan(10);
  });
});

describe("tensor-train", () => {
  const [rows, columns] = [60, 84];

  test.each([3, 4])(
    "with %i cores keeps to the ratio; more numbers are never worse",
    async (cores) => {
      const w = normal(rows * columns);
      let last = Number.POSITIVE_INFINITY;
      for (const ratio of [16, 6, 2]) {
        const weight = await project("tensor-train", w, [rows, columns], { ratio, cores });
        expect(storedIn(weight)).toBeLessThanOrEqual(w.length / ratio);
        const error = errorOf(w, weight.values);
        expect(error).toBeLessThan(last);
        last = error;
      }
    },
  );

  test("is nearer than other trains of the same ranks", async () => {
    const w = normal(rows * columns);
    const { theta, values, form, shape } = await project("tensor-train", w, [rows, columns], {
      ratio: 8,
    });
    const least = errorOf(w, values);
    for (let trial = 0; trial < 10; trial++) {
      const other = composed(
        form,
        shape,
        Object.fromEntries(
          Object.entries(theta).map(([name, core]) => {
            const step = normal(core.values.length);
            const moved = Float32Array.from(core.values, (x, i) => x + 0.2 * step[i]);
            return [name, leaf(moved, core.shape)];
          }),
        ),
      );
      expect(errorOf(w, other.values)).toBeGreaterThan(least);
    }
  });
});
