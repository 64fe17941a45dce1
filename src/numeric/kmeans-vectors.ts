/**
 * @file k-means of vectors, with squared distances or with a quadratic form for each vector:
 *
 *   minimize sum_i (x_i - c_i)^T M_i (x_i - c_i),  c_i the centroid of x_i
 *
 * Lloyd's iteration from a k-means++ start (Arthur, Vassilvitskii 2007). The centroid of a cluster is
 * (sum M_i)^-1 sum M_i x_i; with one M for all it is the mean.
 */
import { solveSpd } from "./cholesky.ts";
import type { Random } from "./random.ts";

/** The quadratic forms of vectors, several of which may have the same. */
export interface Metric {
  /** Symmetric positive definite matrices M, each [size, size]. */
  readonly matrices: readonly Float64Array[];
  /** Which of them belongs to vector i. */
  of(i: number): number;
}

export interface VectorKmeans {
  /** [entries, size]; fewer entries than asked for where fewer vectors differ. */
  readonly centroids: Float64Array;
  /** The entry of each vector. */
  readonly index: Uint16Array;
  /** The error after each assignment, which never rises. */
  readonly errors: readonly number[];
}

/** An iteration that lowers the error by less than this share is the last. */
const ENOUGH = 1e-3;

/** Lloyd's iteration looks at so many vectors per centroid at most: more hardly move the centroids. */
const PER_CENTROID = 64;

/**
 * Fits at most `count` <= 65536 centroids to the vectors x [n, size]. Of many vectors, a random part
 * decides where the centroids lie; then all take the nearest, and each centroid is fitted to its own.
 */
export function kmeansVectors(
  x: Float64Array,
  size: number,
  count: number,
  options: { metric: Metric | null; random: Random; iterations?: number },
): VectorKmeans {
  const { metric, random } = options;
  const n = x.length / size;
  if (n <= PER_CENTROID * count) return lloyd(x, size, count, options);
  const places = Uint32Array.from({ length: n }, (_, i) => i);
  const chosen = random
    .shuffle(places)
    .subarray(0, PER_CENTROID * count)
    .sort();
  const part = new Float64Array(chosen.length * size);
  for (const [i, place] of chosen.entries()) {
    part.set(x.subarray(place * size, (place + 1) * size), i * size);
  }
  const own = metric && { ...metric, of: (i: number) => metric.of(chosen[i]) };
  const { centroids } = lloyd(part, size, count, { ...options, metric: own });
  const problem = problemOf(x, size, metric);
  const { index, costs } = assign(problem, centroids);
  return {
    centroids: centersOf(problem, centroids, index, null),
    index,
    errors: [total(costs)],
  };
}

function lloyd(
  x: Float64Array,
  size: number,
  count: number,
  {
    metric,
    random,
    iterations = 30,
  }: { metric: Metric | null; random: Random; iterations?: number },
): VectorKmeans {
  const problem = problemOf(x, size, metric);
  let centroids = spreadStart(problem, count, random);
  let { index, costs } = assign(problem, centroids);
  const errors = [total(costs)];
  for (let iteration = 1; iteration < iterations; iteration++) {
    centroids = centersOf(problem, centroids, index, costs);
    const next = assign(problem, centroids);
    const error = total(next.costs);
    // Rounding may raise an error that has stopped falling.
    if (error > errors[errors.length - 1]) break;
    [index, costs] = [next.index, next.costs];
    errors.push(error);
    if (error > errors[errors.length - 2] * (1 - ENOUGH)) break;
  }
  return { centroids: centersOf(problem, centroids, index, null), index, errors };
}

interface Problem {
  readonly x: Float64Array;
  readonly size: number;
  readonly n: number;
  readonly metric: Metric | null;
  /** x_i^T M_i x_i. */
  readonly energy: Float64Array;
}

function problemOf(x: Float64Array, size: number, metric: Metric | null): Problem {
  const n = x.length / size;
  const energy = Float64Array.from({ length: n }, (_, i) => energyOf(x, size, i, metric));
  return { x, size, n, metric, energy };
}

const total = (costs: Float64Array): number => costs.reduce((sum, cost) => sum + cost, 0);

/** M c for each matrix, or c itself; and c^T M c. */
function weighted({ size, metric }: Problem, centroids: Float64Array) {
  const count = centroids.length / size;
  return (metric?.matrices ?? [null]).map((matrix) => {
    const product = matrix ? new Float64Array(centroids.length) : centroids;
    const square = new Float64Array(count);
    for (let k = 0; k < count; k++) {
      for (let a = 0; a < size; a++) {
        if (matrix) {
          let sum = 0;
          for (let b = 0; b < size; b++) sum += matrix[a * size + b] * centroids[k * size + b];
          product[k * size + a] = sum;
        }
        square[k] += product[k * size + a] * centroids[k * size + a];
      }
    }
    return { product, square };
  });
}

function energyOf(x: Float64Array, size: number, i: number, metric: Metric | null): number {
  const matrix = metric?.matrices[metric.of(i)];
  let sum = 0;
  for (let a = 0; a < size; a++) {
    if (!matrix) sum += x[i * size + a] ** 2;
    else {
      for (let b = 0; b < size; b++) {
        sum += x[i * size + a] * matrix[a * size + b] * x[i * size + b];
      }
    }
  }
  return sum;
}

/**
 * The nearest centroid of each vector, and the error that it leaves. Here most of the time is spent:
 * vectors are filled up with zeros so that four products at a time can be written out.
 */
function assign(problem: Problem, centroids: Float64Array) {
  const { x, size, n, metric, energy } = problem;
  const wide = (size + 3) & ~3;
  const tables = weighted(problem, centroids).map(({ product, square }) => {
    const padded = new Float64Array(square.length * wide);
    for (let k = 0; k < square.length; k++) {
      padded.set(product.subarray(k * size, (k + 1) * size), k * wide);
    }
    return { product: padded, square };
  });
  const twice = new Float64Array(wide);
  const index = new Uint16Array(n);
  const costs = new Float64Array(n);
  const count = centroids.length / size;
  for (let i = 0; i < n; i++) {
    const { product, square } = tables[metric ? metric.of(i) : 0];
    for (let a = 0; a < size; a++) twice[a] = 2 * x[i * size + a];
    let best = 0;
    let least = Number.POSITIVE_INFINITY;
    for (let k = 0, j = 0; k < count; k++) {
      let cost = square[k];
      for (let a = 0; a < wide; a += 4, j += 4) {
        cost -=
          twice[a] * product[j] +
          twice[a + 1] * product[j + 1] +
          twice[a + 2] * product[j + 2] +
          twice[a + 3] * product[j + 3];
      }
      if (cost < least) {
        least = cost;
        best = k;
      }
    }
    index[i] = best;
    costs[i] = Math.max(0, least + energy[i]);
  }
  return { index, costs };
}

/**
 * k-means++: each centroid is a vector drawn with its error under the earlier ones as odds. Fewer
 * where the earlier ones leave no error.
 */
function spreadStart(problem: Problem, count: number, random: Random): Float64Array {
  const { x, size, n, energy } = problem;
  const chosen: number[] = [];
  const nearest = new Float64Array(n).fill(Number.POSITIVE_INFINITY);
  // What rounding leaves of the error of a vector that is a centroid.
  const nothing = energy.reduce((most, e) => Math.max(most, e), 0) * 1e-12;
  for (let next = random.int(n); chosen.length < count; ) {
    chosen.push(next);
    const centroid = x.slice(next * size, (next + 1) * size);
    const tables = weighted(problem, centroid);
    let sum = 0;
    for (let i = 0; i < n; i++) {
      const { product, square } = tables[problem.metric ? problem.metric.of(i) : 0];
      let along = 0;
      for (let a = 0; a < size; a++) along += x[i * size + a] * product[a];
      const cost = energy[i] + square[0] - 2 * along;
      nearest[i] = Math.min(nearest[i], cost > nothing ? cost : 0);
      sum += nearest[i];
    }
    if (!(sum > 0)) break;
    let left = random.float() * sum;
    next = nearest.findIndex((cost) => {
      left -= cost;
      return left < 0;
    });
    if (next < 0) next = nearest.findIndex((cost) => cost > 0);
  }
  return Float64Array.from({ length: chosen.length * size }, (_, j) => {
    return x[chosen[Math.floor(j / size)] * size + (j % size)];
  });
}

/**
 * The best centroid of each cluster. With `costs`, a cluster without vectors gets the vector that is
 * farthest from its own centroid; otherwise it stays where it is.
 */
function centersOf(
  { x, size, n, metric }: Problem,
  before: Float64Array,
  index: Uint16Array,
  costs: Float64Array | null,
): Float64Array {
  const count = before.length / size;
  const members = new Float64Array(count);
  const sums = new Float64Array(count * size);
  const forms = metric ? new Float64Array(count * size * size) : null;
  for (let i = 0; i < n; i++) {
    const k = index[i];
    members[k]++;
    const matrix = metric?.matrices[metric.of(i)];
    for (let a = 0; a < size; a++) {
      if (!matrix) sums[k * size + a] += x[i * size + a];
      else {
        for (let b = 0; b < size; b++) {
          const m = matrix[a * size + b];
          sums[k * size + a] += m * x[i * size + b];
          (forms as Float64Array)[(k * size + a) * size + b] += m;
        }
      }
    }
  }
  const centers = new Float64Array(count * size);
  const left = costs?.slice();
  for (let k = 0; k < count; k++) {
    const at = k * size;
    let center = before.slice(at, at + size);
    if (members[k] > 0) {
      const sum = sums.slice(at, at + size);
      center = forms
        ? solveSpd(forms.slice(at * size, (at + size) * size), size, sum)
        : sum.map((value) => value / members[k]);
    } else if (left) {
      let far = 0;
      for (let i = 1; i < n; i++) if (left[i] > left[far]) far = i;
      left[far] = 0;
      center = x.slice(far * size, (far + 1) * size);
    }
    centers.set(center, at);
  }
  return centers;
}
