/** @file Circulant blocks: the product by a DFT, the nearest one, signs, sizes that no block divides. */
import { describe, expect, test } from "vitest";
import { fitSignedCirculant, nearestCirculant } from "../../src/numeric/circulant.ts";
import { errorOf, normals, project, storedIn } from "./structured.ts";

const normal = normals(31);
const [rows, columns] = [70, 60];

/** The circular convolution of r and x [n], by an explicit DFT of both. */
function byDft(r: ArrayLike<number>, x: ArrayLike<number>): number[] {
  const n = r.length;
  const dft = (v: ArrayLike<number>) =>
    Array.from({ length: n }, (_, f) => {
      let [re, im] = [0, 0];
      for (let t = 0; t < n; t++) {
        re += v[t] * Math.cos((2 * Math.PI * f * t) / n);
        im -= v[t] * Math.sin((2 * Math.PI * f * t) / n);
      }
      return [re, im];
    });
  const [a, b] = [dft(r), dft(x)];
  return Array.from({ length: n }, (_, t) => {
    let sum = 0;
    for (let f = 0; f < n; f++) {
      const [re, im] = [
        a[f][0] * b[f][0] - a[f][1] * b[f][1],
        a[f][0] * b[f][1] + a[f][1] * b[f][0],
      ];
      const angle = (2 * Math.PI * f * t) / n;
      sum += re * Math.cos(angle) - im * Math.sin(angle);
    }
    return sum / n;
  });
}

describe("circulant", () => {
  test("one block times a vector is IFFT(FFT(r) FFT(x))", async () => {
    const n = 64;
    const { theta, values } = await project("circulant", normal(n * n), [n, n], {
      block: n,
      signs: "none",
    });
    const x = normal(n);
    const product = Array.from({ length: n }, (_, i) =>
      x.reduce((sum, v, j) => sum + values[i * n + j] * v, 0),
    );
    expect(errorOf(byDft(theta.r.values, x), product)).toBeLessThan(1e-10);
  });

  test("is nearer than any other of the same blocks that a step from it leads to", async () => {
    const w = normal(rows * columns);
    const { theta, values } = await project("circulant", w, [rows, columns], {
      ratio: 8,
      signs: "none",
    });
    const [, across, b] = theta.r.shape;
    const least = errorOf(w, values);
    for (let trial = 0; trial < 20; trial++) {
      const step = normal(theta.r.values.length);
      const moved = values.map((v, i) => {
        const [x, y] = [Math.floor(i / columns), i % columns];
        const block = Math.floor(x / b) * across + Math.floor(y / b);
        return v + 0.05 * step[block * b + ((x - y + b * rows) % b)];
      });
      expect(errorOf(w, moved)).toBeGreaterThan(least);
    }
  });

  test("a block-circulant matrix with signs of its inputs, here rows, is found again", async () => {
    const b = 9;
    const [p, q] = [Math.ceil(rows / b), Math.ceil(columns / b)];
    const r = normal(p * q * b);
    // Turning single signs may end in another optimum from drawn ones, but not from near these.
    const signs = Int8Array.from({ length: columns }, (_, i) => (i % 3 === 0 ? -1 : 1));
    const w = Float32Array.from({ length: rows * columns }, (_, i) => {
      const [x, y] = [Math.floor(i / columns), i % columns];
      return signs[y] * r[(Math.floor(x / b) * q + Math.floor(y / b)) * b + ((x - y + 9 * b) % b)];
    });
    const start = signs.map((s, y) => (y % 20 === 4 ? -s : s));
    const found = fitSignedCirculant(w, { rows, columns, block: b }, start, 10);
    expect(found.signs).toEqual(signs);
    expect(errorOf(r, found.r)).toBeLessThan(1e-12);
  });

  test("signs follow the inputs on either side, and fitted ones are nearer than drawn ones", async () => {
    const w = normal(rows * columns);
    const error = async (signs: string) => {
      const weight = await project("circulant", w, [rows, columns], { ratio: 8, signs });
      if (signs !== "none") expect(weight.theta.signs.shape).toEqual([rows, 1]);
      return errorOf(w, weight.values);
    };
    const [none, random, fitted] = [
      await error("none"),
      await error("random"),
      await error("fitted"),
    ];
    expect(fitted).toBeLessThan(random - 0.02);
    expect(fitted).toBeLessThan(none);
    // Drawn signs with the best numbers for them: those of the mean over S w, entry by entry.
    const weight = await project("circulant", w, [rows, columns], { ratio: 8, signs: "random" });
    const b = weight.theta.r.shape[2];
    const turned = w.map((v, i) => v * weight.theta.signs.values[Math.floor(i / columns)]);
    const mean = nearestCirculant(turned, { rows, columns, block: b });
    expect(errorOf(mean, weight.theta.r.values)).toBeLessThan(1e-10);
  });

  test("keeps to the ratio with blocks that divide nothing, and more numbers are never worse", async () => {
    const w = normal(rows * columns);
    let last = Number.POSITIVE_INFINITY;
    for (const ratio of [32, 16, 8, 4, 2]) {
      const weight = await project("circulant", w, [rows, columns], { ratio, signs: "none" });
      expect(storedIn(weight)).toBeLessThanOrEqual(w.length / ratio);
      const error = errorOf(w, weight.values);
      expect(error).toBeLessThan(last);
      last = error;
    }
    await expect(project("circulant", w, [rows, columns], { ratio: 1000 })).rejects.toThrow(
      "has no circulant matrix of 4 numbers: 70 x 60",
    );
  });
});
