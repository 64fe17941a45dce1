import { expect, test } from "vitest";
import { kmeansVectors, type Metric } from "../../src/numeric/kmeans-vectors.ts";
import { createRandom } from "../../src/numeric/random.ts";

const random = createRandom(2);
const normal = (size: number): Float64Array => Float64Array.from({ length: size }, random.normal);

type Pair = readonly [number, number];
/** x^T M x for M = [a, b; b, c]. */
type Form = readonly [number, number, number];
const quadratic = ([a, b, c]: Form, [x, y]: Pair): number => a * x * x + 2 * b * x * y + c * y * y;

/** Least error of the points over all ways to put them into `count` clusters. */
function exhaustive(points: readonly Pair[], forms: readonly Form[], count: number): number {
  const cluster = (members: readonly number[]): number => {
    let [a, b, c, u, v] = [0, 0, 0, 0, 0];
    for (const i of members) {
      const [p, q, r] = forms[i];
      const [x, y] = points[i];
      [a, b, c] = [a + p, b + q, c + r];
      [u, v] = [u + p * x + q * y, v + q * x + r * y];
    }
    const det = a * c - b * b;
    const center: Pair = [(c * u - b * v) / det, (a * v - b * u) / det];
    return members.reduce((sum, i) => {
      const [x, y] = points[i];
      return sum + quadratic(forms[i], [x - center[0], y - center[1]]);
    }, 0);
  };
  let best = Number.POSITIVE_INFINITY;
  for (let code = 0; code < count ** points.length; code++) {
    const groups: number[][] = Array.from({ length: count }, () => []);
    for (let i = 0, left = code; i < points.length; i++, left = Math.floor(left / count)) {
      groups[left % count].push(i);
    }
    const error = groups.reduce((sum, g) => sum + (g.length > 0 ? cluster(g) : 0), 0);
    best = Math.min(best, error);
  }
  return best;
}

const n = 7;
const x = normal(2 * n);
const points = Array.from({ length: n }, (_, i): Pair => [x[2 * i], x[2 * i + 1]]);
const two: readonly Form[] = [
  [1, 0.6, 0.8],
  [3, -0.5, 0.2],
];
const metric: Metric = {
  matrices: two.map(([a, b, c]) => Float64Array.of(a, b, b, c)),
  of: (i) => i % 2,
};

test.each([
  ["squared distances", null, (): Form => [1, 0, 1]],
  ["a quadratic form for each vector", metric, (i: number): Form => two[i % 2]],
] as const)("%s: the best of some starts is the best there is", (_, given, formOf) => {
  const forms = Array.from({ length: n }, (_, i) => formOf(i));
  const runs = Array.from({ length: 12 }, (_, seed) => {
    const { centroids, index } = kmeansVectors(x, 2, 2, {
      metric: given,
      random: createRandom(seed),
    });
    return points.reduce((sum, [u, v], i) => {
      const at = 2 * index[i];
      return sum + quadratic(forms[i], [u - centroids[at], v - centroids[at + 1]]);
    }, 0);
  });
  expect(Math.min(...runs)).toBeCloseTo(exhaustive(points, forms, 2), 9);
});

test("the error never rises, and falls with more centroids", () => {
  const many = normal(3 * 300);
  const form = Float64Array.of(2, 0.5, 0, 0.5, 1, 0.2, 0, 0.2, 0.7);
  for (const given of [null, { matrices: [form], of: () => 0 }]) {
    const ends = [2, 8, 32].map((count) => {
      const { errors } = kmeansVectors(many, 3, count, { metric: given, random: createRandom(1) });
      for (let i = 1; i < errors.length; i++) expect(errors[i]).toBeLessThanOrEqual(errors[i - 1]);
      return errors[errors.length - 1];
    });
    expect(ends[1]).toBeLessThan(ends[0]);
    expect(ends[2]).toBeLessThan(ends[1]);
  }
});

test("as many centroids as distinct vectors are exact, and there are no more", () => {
  const few = Float64Array.from({ length: 40 }, (_, i) => [1, 2, -3, 0.5, 1, 7][(i % 6) + 0]);
  const { centroids, index } = kmeansVectors(few, 2, 8, { metric: null, random: createRandom(1) });
  expect(centroids).toHaveLength(6);
  for (let i = 0; i < 20; i++) {
    expect([...centroids.subarray(2 * index[i], 2 * index[i] + 2)]).toEqual([
      few[2 * i],
      few[2 * i + 1],
    ]);
  }
});
