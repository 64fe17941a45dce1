import { describe, expect, test } from "vitest";
import { kmeans } from "../../src/numeric/kmeans.ts";
import { entropyKmeans } from "../../src/numeric/kmeans-entropy.ts";
import { createRandom } from "../../src/numeric/random.ts";

const random = createRandom(3);
const values = Float32Array.from({ length: 500 }, () => random.normal() ** 3);
const weights = Float64Array.from({ length: 500 }, () => 0.1 + random.float());
const start = kmeans(values, 16);

/** Error share, entropy and clusters, straight from the definitions. */
function measure(centroids: Float32Array, index: ArrayLike<number>, h: ArrayLike<number>) {
  let [error, energy] = [0, 0];
  const counts = new Map<number, number>();
  for (const [i, x] of values.entries()) {
    error += h[i] * (x - centroids[index[i]]) ** 2;
    energy += h[i] * x * x;
    counts.set(index[i], (counts.get(index[i]) ?? 0) + 1);
  }
  const shares = [...counts.values()].map((count) => count / values.length);
  const entropy = shares.reduce((sum, p) => sum - p * Math.log2(p), 0);
  return { distortion: error / energy, energy, entropy, counts };
}

describe("entropy-constrained quantization", () => {
  test.each([0.0001, 0.01, 0.3])("lambda %d: J is D + lambda H, and never rises", (lambda) => {
    const found = entropyKmeans(values, start, { lambda, weights });
    const { distortion, entropy, counts } = measure(found.centroids, found.index, weights);
    expect(found.objectives.at(-1)).toBeCloseTo(distortion + lambda * entropy, 6);
    expect(found.entropy).toBeCloseTo(entropy, 9);
    expect(counts.size).toBe(found.centroids.length);
    const before = measure(start.centroids, start.index, weights);
    expect(found.objectives[0]).toBeLessThanOrEqual(before.distortion + lambda * before.entropy);
    for (const [i, J] of found.objectives.entries()) {
      if (i > 0) expect(J).toBeLessThanOrEqual(found.objectives[i - 1] + 1e-12);
    }
  });

  test("every value takes the entry of least error plus code length", () => {
    const lambda = 0.01;
    const options = { lambda, weights, maxIterations: 1000 };
    let found = entropyKmeans(values, start, options);
    // To the fixed point: a run ends where J falls slowly.
    for (let i = 0; i < 50; i++) found = entropyKmeans(values, found, options);
    const { counts, energy } = measure(found.centroids, found.index, weights);
    const cost = (i: number, k: number): number => {
      const bits = -Math.log2((counts.get(k) ?? 0) / values.length);
      return (
        (weights[i] * (values[i] - found.centroids[k]) ** 2) / energy +
        (lambda * bits) / values.length
      );
    };
    for (const [i, k] of found.index.entries()) {
      const all = Array.from(found.centroids.keys(), (other) => cost(i, other));
      expect(cost(i, k)).toBeLessThanOrEqual(Math.min(...all) + 1e-9);
    }
    for (const [k, c] of found.centroids.entries()) {
      const members = [...values.keys()].filter((i) => found.index[i] === k);
      const mass = members.reduce((sum, i) => sum + weights[i], 0);
      expect(c).toBeCloseTo(members.reduce((sum, i) => sum + weights[i] * values[i], 0) / mass, 5);
    }
  });

  test("entropy falls as lambda grows, to nothing, while the error rises", () => {
    const runs = [0, 0.001, 0.01, 0.1, 1000].map((lambda) =>
      entropyKmeans(values, start, { lambda }),
    );
    for (const [i, run] of runs.entries()) {
      if (i === 0) continue;
      expect(run.entropy).toBeLessThan(runs[i - 1].entropy);
      expect(run.error).toBeGreaterThan(runs[i - 1].error);
    }
    expect(runs[4].entropy).toBe(0);
    expect(runs[4].centroids).toHaveLength(1);
  });

  test("pruned weights stay pruned, however dear their entry", () => {
    const pruned = values.map((x, i) => (i % 100 === 0 ? 0 : x + 3 * Math.sign(x)));
    const first = kmeans(pruned, 8, { keepZero: true });
    const { centroids, index } = entropyKmeans(pruned, first, { lambda: 0.1, keepZero: true });
    expect(centroids).toContain(0);
    for (const [i, x] of pruned.entries()) if (x === 0) expect(centroids[index[i]]).toBe(0);
  });
});
