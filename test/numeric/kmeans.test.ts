import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { assign, type KmeansOptions, kmeans } from "../../src/numeric/kmeans.ts";
import { createRandom } from "../../src/numeric/random.ts";

const inits = ["linear", "density", "random", "optimal"] as const;

/** Least error over every way to cut the sorted values into k runs (one of them about 0 if asked). */
function exhaustive(values: number[], weights: number[], k: number, keepZero: boolean): number {
  const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]);
  const x = order.map((i) => values[i]);
  const w = order.map((i) => weights[i]);
  const spread = (from: number, to: number, center: number | null): number => {
    let sw = 0;
    let sx = 0;
    for (let i = from; i < to; i++) {
      sw += w[i];
      sx += w[i] * x[i];
    }
    const c = center ?? (sw > 0 ? sx / sw : 0);
    let error = 0;
    for (let i = from; i < to; i++) error += w[i] * (x[i] - c) ** 2;
    return error;
  };
  const search = (from: number, left: number, zero: boolean): number => {
    if (from === x.length) return 0;
    let best = Number.POSITIVE_INFINITY;
    for (let to = from + 1; to <= x.length; to++) {
      if (left > 0) best = Math.min(best, spread(from, to, null) + search(to, left - 1, zero));
      if (zero) best = Math.min(best, spread(from, to, 0) + search(to, left, false));
    }
    return best;
  };
  return search(0, keepZero ? k - 1 : k, keepZero);
}

const smallValues = fc.array(
  fc.oneof(fc.float({ min: -8, max: 8, noNaN: true }), fc.constantFrom(0, 1, -1, 2)),
  { minLength: 1, maxLength: 9 },
);

function normals(n: number, seed: number): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length: n }, () => random.normal());
}

describe("kmeans", () => {
  it("optimal equals the exhaustive search, plain, weighted and with a zero level", () => {
    fc.assert(
      fc.property(
        smallValues,
        fc.integer({ min: 1, max: 4 }),
        fc.boolean(),
        fc.array(fc.float({ min: Math.fround(0.1), max: 4, noNaN: true }), {
          minLength: 9,
          maxLength: 9,
        }),
        fc.boolean(),
        (list, k, keepZero, importance, weighted) => {
          const values = Float32Array.from(list);
          const weights = values.map((_, i) => (weighted ? importance[i] : 1));
          const options: KmeansOptions = {
            init: "optimal",
            keepZero,
            ...(weighted && { weights }),
          };
          const { error, centroids } = kmeans(values, k, options);
          const best = exhaustive([...values], [...weights], k, keepZero);
          if (keepZero) expect(centroids).toContain(0);
          expect(centroids.length).toBeLessThanOrEqual(k);
          // Centroids are float32: their rounding may cost sum w (2^-24 |c|)^2, and cancellation 1e-13.
          expect(error).toBeGreaterThanOrEqual(best * (1 - 1e-9) - 1e-12);
          expect(error).toBeLessThanOrEqual(best * (1 + 1e-6) + 1e-10);
        },
      ),
      { numRuns: 400 },
    );
  });

  it("is consistent: ascending centroids, nearest index, the stated error, a local optimum", () => {
    const values = normals(5000, 1);
    for (const init of inits) {
      for (const keepZero of [false, true]) {
        const { centroids, index, error } = kmeans(values, 16, {
          init,
          keepZero,
          random: createRandom(2),
        });
        expect(centroids.length).toBe(16);
        expect([...centroids]).toEqual([...centroids].sort((a, b) => a - b));
        const sums = new Float64Array(16);
        const counts = new Float64Array(16);
        let total = 0;
        values.forEach((x, i) => {
          const nearest = Math.min(...centroids.map((c) => Math.abs(x - c)));
          expect(Math.abs(x - centroids[index[i]])).toBeCloseTo(nearest, 6);
          sums[index[i]] += x;
          counts[index[i]]++;
          total += (x - centroids[index[i]]) ** 2;
        });
        expect(error).toBeCloseTo(total, 9);
        for (let j = 0; j < 16; j++) {
          expect(counts[j]).toBeGreaterThan(0);
          if (!(keepZero && centroids[j] === 0)) {
            expect(centroids[j]).toBeCloseTo(sums[j] / counts[j], 6);
          }
        }
      }
    }
  });

  it("comes near the Lloyd-Max quantizer of the normal law", () => {
    // Max 1960, table I: mean square error 0.1175, 0.03454, 0.009497, 0.002499 at 4, 8, 16, 32 levels.
    const values = normals(200_000, 3);
    const expected: [number, number][] = [
      [4, 0.1175],
      [8, 0.03454],
      [16, 0.009497],
      [32, 0.002499],
    ];
    for (const [k, mse] of expected) {
      const { error } = kmeans(values, k, { init: "optimal" });
      expect(error / values.length / mse).toBeGreaterThan(0.975);
      expect(error / values.length / mse).toBeLessThan(1.015);
    }
  });

  it("optimal: more levels never cost more, and no other start does better", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e6 }), fc.boolean(), (seed, keepZero) => {
        const values = normals(300, seed);
        let last = Number.POSITIVE_INFINITY;
        for (const k of [1, 2, 3, 4, 8, 9, 32]) {
          const { error } = kmeans(values, k, { init: "optimal", keepZero });
          expect(error).toBeLessThanOrEqual(last * (1 + 1e-9));
          last = error;
          for (const init of ["linear", "density", "random"] as const) {
            const other = kmeans(values, k, { init, keepZero, random: createRandom(seed) });
            expect(other.error).toBeGreaterThanOrEqual(error * (1 - 1e-6));
          }
        }
      }),
      { numRuns: 15 },
    );
  });

  it("fills every level although the linear start leaves most of them empty", () => {
    const values = normals(2000, 4);
    values[0] = 1000;
    const { centroids, index, error } = kmeans(values, 64, { init: "linear" });
    expect(new Set(index).size).toBe(64);
    expect(centroids[63]).toBe(1000);
    expect(error).toBeLessThan(1.4 * kmeans(values, 64, { init: "optimal" }).error);
  });

  it("keeps pruned weights at exactly 0 and spends the other levels on the rest", () => {
    const values = normals(4000, 5).map((x) => (Math.abs(x) < 1 ? 0 : x));
    for (const init of inits) {
      const { centroids, index } = kmeans(values, 8, {
        init,
        keepZero: true,
        random: createRandom(1),
      });
      const zero = centroids.indexOf(0);
      values.forEach((x, i) => {
        expect(index[i] === zero).toBe(x === 0);
      });
    }
    expect([...kmeans(new Float32Array(5), 4, { keepZero: true }).centroids]).toEqual([0]);
    expect([...kmeans(Float32Array.of(3, 5), 1, { keepZero: true }).centroids]).toEqual([0]);
  });

  it("lets weights decide: unimportant values do not move centroids", () => {
    const values = Float32Array.of(0, 0.1, 1, 1.1, 50, 60);
    const weights = [1, 1, 1, 1, 0, 0];
    for (const init of inits) {
      const { centroids } = kmeans(values, 2, { init, weights, random: createRandom(9) });
      expect(centroids[0]).toBeCloseTo(0.05, 6);
      expect(centroids[1]).toBeCloseTo(1.05, 6);
    }
    // All zero: as if unweighted.
    const none = kmeans(values, 2, { init: "optimal", weights: new Float32Array(6) });
    expect([...none.centroids]).toEqual([...kmeans(values, 2, { init: "optimal" }).centroids]);
  });

  it("starts from centroids spread evenly over the values, or over their ranks", () => {
    const values = Float32Array.of(9, -3, 0, 1, 0, 2, 4, 0, 3, 5);
    const started = (k: number, options: KmeansOptions) =>
      [...kmeans(values, k, { ...options, maxIterations: 0 }).centroids].map(
        (c) => Math.round(c * 1e5) / 1e5,
      );
    // From -3 to 9 in steps of 12 / 4; beside a fixed 0 the others in steps of 12 / 3.
    expect(started(5, { init: "linear" })).toEqual([-3, 0, 3, 6, 9]);
    expect(started(5, { init: "linear", keepZero: true })).toEqual([-3, 0, 1, 5, 9]);
    expect(started(1, { init: "linear" })).toEqual([3]);
    // Zeros, which have a centroid, do not widen the range of the others.
    const { centroids } = kmeans(Float32Array.of(0, 0, 2, 3, 5, 8), 4, {
      keepZero: true,
      maxIterations: 0,
    });
    expect([...centroids]).toEqual([0, 2, 5, 8]);
    // Sorted: -3, 0, 0, 0, 1, 2, 3, 4, 5, 9. The middles of five pairs, then of those without zeros.
    expect(started(5, { init: "density" })).toEqual([0, 0, 2, 4, 9]);
    expect(started(4, { init: "density", keepZero: true })).toEqual([0, 1, 3, 5]);
  });

  it("equals a repeated value's weight", () => {
    const repeated = Float32Array.of(-2, -2, -2, -1, 0.5, 0.5, 3, 4, 4);
    const once = kmeans(Float32Array.of(-2, -1, 0.5, 3, 4), 3, { weights: [3, 1, 2, 1, 2] });
    expect(once.error).toBeCloseTo(kmeans(repeated, 3).error, 6);
  });

  it("returns the values themselves when the levels suffice", () => {
    const values = Float32Array.of(3, -0, 0, 7, 3);
    const { centroids, index, error } = kmeans(values, 8);
    expect([...centroids]).toEqual([0, 3, 7]);
    expect([...index]).toEqual([1, 0, 0, 2, 1]);
    expect(error).toBe(0);
    expect(kmeans(new Float32Array(0), 4).centroids.length).toBe(0);
  });

  it("stays near the exact solution on its histogram", () => {
    // 60,000 distinct values x 256 levels exceed the table: the histogram start must not hurt.
    const values = normals(60_000, 6);
    const { error } = kmeans(values, 256, { init: "optimal" });
    // Panter-Dite: D = sqrt(3) pi / 2 / k^2 for large k.
    expect((error / values.length) * 256 ** 2).toBeLessThan((Math.sqrt(3) * Math.PI) / 2);
    expect(error).toBeLessThan(kmeans(values, 256, { init: "density" }).error);
  });

  it("refuses what it cannot do in one line", () => {
    expect(() => kmeans(Float32Array.of(1), 0)).toThrow("bad-number: kmeans: k is 0.");
    expect(() => kmeans(Float32Array.of(1, Number.NaN), 1)).toThrow("not finite");
    expect(() => kmeans(Float32Array.of(1, 2), 1, { weights: [1, -1] })).toThrow("a weight is -1");
    expect(() => kmeans(Float32Array.of(1, 2), 1, { init: "random" })).toThrow("random");
  });
});

describe("assign", () => {
  it("takes the nearest, ties to the lower", () => {
    const { index, error } = assign(Float32Array.of(-9, 0.5, 0.6, 9), Float32Array.of(0, 1));
    expect([...index]).toEqual([0, 0, 1, 1]);
    expect(error).toBeCloseTo(81 + 0.25 + 0.16 + 64, 5);
  });
});
