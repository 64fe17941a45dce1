/** @file Copies of vectors against closed forms and against all assignments there are. */
import { describe, expect, test } from "vitest";
import {
  type Copying,
  fewestCopies,
  fitCopies,
  similarities,
  total,
} from "../../src/numeric/kmeans-copies.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { svd } from "../../src/numeric/svd.ts";

const random = createRandom(12);
const normals = (size: number): Float64Array => Float64Array.from({ length: size }, random.normal);
const identity = (length: number) => Uint32Array.from({ length }, (_, p) => p);
const plain = (length: number, changes: Partial<Copying> = {}): Copying => ({
  ...{ size: length, places: [identity(length)], signed: false, scaled: false },
  ...changes,
});
const vectors = (x: Float64Array, length: number, weights?: Float64Array) => ({
  ...{ x, length, weights: weights ?? new Float64Array(x.length / length).fill(1) },
});

describe("copies", () => {
  test("of one base with scales and signs leave what the first singular vector leaves", () => {
    // Nearly parallel vectors, from which Lloyd's iteration is the power method.
    const [n, length] = [6, 5];
    const direction = normals(length);
    const x = normals(n * length).map((e, i) => direction[i % length] * (i % 2 ? 3 : 3) + 0.3 * e);
    for (let i = 0; i < n; i += 2) for (let p = 0; p < length; p++) x[i * length + p] *= -1;
    const { s } = svd(x, n, length);
    const rest = s.slice(1).reduce((sum, value) => sum + value ** 2, 0);
    const { errors } = fitCopies(
      vectors(x, length),
      plain(length, { scaled: true, signed: true }),
      1,
    );
    expect(total(errors)).toBeGreaterThan(rest * (1 - 1e-9));
    expect(total(errors)).toBeLessThan(rest * 1.01);
    // Without signs half of them point away, and are copies with scale 0.
    const one = fitCopies(vectors(x, length), plain(length, { scaled: true }), 1);
    expect([...one.scale].filter((a) => a === 0)).toHaveLength(3);
  });

  test("of one base without scales: the weighted mean, each number of it by its own copies", () => {
    const [x, weights] = [normals(6 * 4), Float64Array.of(1, 2, 0.5, 1, 3, 1)];
    const { bases, errors } = fitCopies(vectors(x, 4, weights), plain(4), 1);
    const sum = weights.reduce((a, b) => a + b, 0);
    let error = 0;
    for (let p = 0; p < 4; p++) {
      let mean = 0;
      for (let i = 0; i < 6; i++) mean += (weights[i] * x[i * 4 + p]) / sum;
      expect(bases[p]).toBeCloseTo(mean, 10);
      for (let i = 0; i < 6; i++) error += weights[i] * (x[i * 4 + p] - mean) ** 2;
    }
    expect(total(errors)).toBeCloseTo(error, 10);
  });

  test("errors are those of the copies that are returned", () => {
    const places = [identity(4), Uint32Array.of(1, 2, 3, 4), Uint32Array.of(4, 3, 2, 1)];
    const copying: Copying = { size: 5, places, signed: true, scaled: true };
    const [x, weights] = [normals(20 * 4), normals(20).map(Math.abs)];
    const found = fitCopies(vectors(x, 4, weights), copying, 3);
    for (let i = 0; i < 20; i++) {
      const scale = found.scale[i] * (found.negated[i] ? -1 : 1);
      let error = 0;
      for (let p = 0; p < 4; p++) {
        const b = found.bases[found.base[i] * 5 + places[found.transform[i]][p]];
        error += weights[i] * (x[i * 4 + p] - scale * b) ** 2;
      }
      expect(found.errors[i]).toBeCloseTo(error, 10);
    }
  });

  test("as few bases as the budget allows; none where the most are too few", () => {
    // Three clusters far apart.
    const x = normals(12 * 3).map(
      (e, i) => 10 * Number(i % 3 === Math.floor(i / 3) % 3) + 0.01 * e,
    );
    const [all, copying] = [vectors(x, 3), plain(3)];
    expect(fewestCopies(all, copying, 0.1, 12)?.bases).toHaveLength(9);
    expect(fewestCopies(all, copying, 0.1, 2)).toBeNull();
    expect(fewestCopies(all, copying, 0, 12)?.bases).toHaveLength(36);
  });
});

test("similarities: the best cosine squared with another vector or its reversed copy", () => {
  const [n, length] = [7, 4];
  const x = normals(n * length);
  const reversed = Uint32Array.of(3, 2, 1, 0);
  const copying = plain(length, { places: [identity(length), reversed], signed: true });
  const found = similarities(vectors(x, length), copying, n);
  const at = (i: number, p: number): number => x[i * length + p];
  for (let i = 0; i < n; i++) {
    let best = 0;
    for (let j = 0; j < n; j++) {
      let [same, turned, own, other] = [0, 0, 0, 0];
      for (let p = 0; p < length; p++) {
        same += at(i, p) * at(j, p);
        turned += at(i, p) * at(j, 3 - p);
        own += at(i, p) ** 2;
        other += at(j, p) ** 2;
      }
      if (i !== j) best = Math.max(best, same ** 2 / (own * other), turned ** 2 / (own * other));
    }
    expect(found[i]).toBeCloseTo(best, 10);
  }
});
