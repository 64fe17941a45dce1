/**
 * @file One-dimensional k-means. The values are sorted once; then a Lloyd step costs O(k log n)
 * instead of O(k n), because clusters are ranges of the sorted values with prefix sums.
 *
 *   minimize sum_i w_i (x_i - c_index(i))^2 over the centroids c and the assignment
 */
import { errors, fail } from "../errors.ts";
import { optimalCentroids } from "./kmeans-optimal.ts";
import type { Random } from "./random.ts";
import { sortWeighted } from "./sort.ts";

/** How the centroids are found. */
export interface KmeansOptions {
  /**
   * Initial centroids: "linear" spaces them evenly from min to max, "density" evenly in the
   * cumulative distribution, "random" draws values (Han et al. 2016, arXiv 1510.00149, section
   * 3.2). "optimal" solves the problem exactly, or on a fine histogram where there are too
   * many distinct values.
   */
  readonly init?: "linear" | "density" | "random" | "optimal";
  /** One importance >= 0 for each value (Fisher or Hessian diagonal); all are 1 unless given. */
  readonly weights?: ArrayLike<number>;
  /**
   * One centroid is 0 and stays 0, so that pruned weights stay pruned; the other k - 1 are fitted.
   * Values nearer to 0 than to any other centroid become 0.
   */
  readonly keepZero?: boolean;
  /** Needed by init "random" only. */
  readonly random?: Random;
  readonly maxIterations?: number;
}

/** A codebook and the assignment of the values to it. */
export interface Kmeans {
  /** Ascending; fewer than k where there are fewer distinct values. */
  readonly centroids: Float32Array;
  /** For each value the index of the nearest centroid. */
  readonly index: Uint16Array;
  /** sum_i weight_i (value_i - centroid_i)^2. */
  readonly error: number;
}

/** Sorted values, weights (null: all 1), and the sums of w and w x before every 64th value. */
interface Points {
  readonly x: Float32Array;
  readonly w: Float32Array | null;
  readonly sums: Float64Array;
}

/**
 * Fits 1 to k <= 65536 centroids to finite values in any order. Throws TersorError
 * "bad-number" for a k out of range, a value that is not finite, a negative weight, or init
 * "random" without `random`.
 */
export function kmeans(values: Float32Array, k: number, options: KmeansOptions = {}): Kmeans {
  if (!(Number.isInteger(k) && k >= 1 && k <= 65536)) {
    throw fail(errors.badNumber("kmeans", `k is ${k}`, "Give a whole number from 1 to 65536"));
  }
  if (values.length === 0) {
    return { centroids: new Float32Array(0), index: new Uint16Array(0), error: 0 };
  }
  const keepZero = options.keepZero ?? false;
  const points = createPoints(values, options.weights);
  const exact = distinct(points.x, k, keepZero);
  const centroids =
    exact ?? refine(points, start(points, k, keepZero, options), keepZero, options.maxIterations);
  return assign(values, Float32Array.from(centroids), options.weights);
}

/**
 * Assigns every value to the nearest of the ascending centroids (ties to the lower one),
 * and sums the error.
 */
export function assign(
  values: Float32Array,
  centroids: Float32Array,
  weights?: ArrayLike<number>,
): Kmeans {
  const index = new Uint16Array(values.length);
  const middles = Float64Array.from(centroids.subarray(1), (c, j) => (c + centroids[j]) / 2);
  let error = 0;
  for (let i = 0; i < values.length; i++) {
    const x = values[i];
    let low = 0;
    let high = middles.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (x > middles[middle]) low = middle + 1;
      else high = middle;
    }
    index[i] = low;
    const gap = x - centroids[low];
    error += (weights ? weights[i] : 1) * gap * gap;
  }
  return { centroids, index, error };
}

/** Sorts the values and sums them in blocks of 64. */
function createPoints(values: Float32Array, weights: ArrayLike<number> | undefined): Points {
  const { x, w } = weights ? sortWeighted(values, weights) : { x: values.slice().sort(), w: null };
  if (!Number.isFinite(x[0]) || !Number.isFinite(x[x.length - 1])) {
    throw fail(errors.badNumber("kmeans", "a value is not finite", "Repair the tensor first"));
  }
  let total = 0;
  if (w) {
    for (const weight of w) {
      if (!(weight >= 0 && weight < Number.POSITIVE_INFINITY)) {
        throw fail(errors.badNumber("kmeans", `a weight is ${weight}`, "Give weights >= 0"));
      }
      total += weight;
    }
  }
  // Weights that are all zero carry no information; every value counts alike then.
  const points = { x, w: total > 0 ? w : null, sums: new Float64Array(2 * (x.length >> 6) + 2) };
  for (let i = 64; i <= x.length; i += 64) {
    const block = 2 * (i >> 6);
    points.sums[block] = points.sums[block - 2];
    points.sums[block + 1] = points.sums[block - 1];
    for (let j = i - 64; j < i; j++) {
      const weight = points.w ? points.w[j] : 1;
      points.sums[block] += weight;
      points.sums[block + 1] += weight * x[j];
    }
  }
  return points;
}

/** Writes the sums of w and of w x over the points [0, end) to `out`. */
function sumsBefore({ x, w, sums }: Points, end: number, out: Float64Array): void {
  let weight = sums[2 * (end >> 6)];
  let moment = sums[2 * (end >> 6) + 1];
  for (let i = end & ~63; i < end; i++) {
    const wi = w ? w[i] : 1;
    weight += wi;
    moment += wi * x[i];
  }
  out[0] = weight;
  out[1] = moment;
}

/** The distinct values themselves where k centroids suffice for all of them, otherwise null. */
function distinct(x: Float32Array, k: number, keepZero: boolean): number[] | null {
  const levels: number[] = keepZero && !(x[firstAbove(x, 0) - 1] === 0) ? [0] : [];
  for (let i = 0; i < x.length; i++) {
    if (i > 0 && x[i] === x[i - 1]) continue;
    if (levels.length === k) return null;
    levels.push(x[i] + 0); // -0 becomes 0
  }
  return levels.sort((a, b) => a - b);
}

/** The initial centroids, ascending. */
function start(points: Points, k: number, keepZero: boolean, options: KmeansOptions): Float64Array {
  const { init = "linear", random } = options;
  const { x, w } = points;
  if (init === "optimal") return optimalCentroids(x, w, k, keepZero);
  const free = keepZero ? k - 1 : k;
  const centroids = new Float64Array(k);
  // With keepZero the centroids are spread over the non-zero values, because the zeros have one
  // already.
  const zerosEnd = keepZero ? firstAbove(x, 0) : 0;
  let zerosStart = zerosEnd;
  while (zerosStart > 0 && x[zerosStart - 1] === 0) zerosStart--;
  const count = x.length - (zerosEnd - zerosStart);
  const at = (rank: number) => x[rank < zerosStart ? rank : rank + zerosEnd - zerosStart];
  const low = at(0);
  const high = at(count - 1);
  for (let j = 0; j < free; j++) {
    if (init === "linear") {
      centroids[j] = free === 1 ? (low + high) / 2 : low + ((high - low) * j) / (free - 1);
    } else if (init === "density") {
      centroids[j] = at(Math.floor(((j + 0.5) * count) / free));
    } else {
      if (!random) throw fail(errors.badNumber("kmeans", "init random without random", "Give one"));
      centroids[j] = at(random.int(count));
    }
  }
  return centroids.sort();
}

/** Lloyd's iteration until no boundary moves. Centroids are ascending before and after. */
function refine(
  points: Points,
  centroids: Float64Array,
  keepZero: boolean,
  maxIterations = 1000,
): Float64Array {
  const k = centroids.length;
  // If several centroids are 0, it does not matter which of them is pinned.
  let pinned = keepZero ? centroids.indexOf(0) : -1;
  const bounds = new Int32Array(k + 1);
  bounds[k] = points.x.length;
  const before = new Float64Array(2);
  const until = new Float64Array(2);
  for (let iteration = 0; iteration < maxIterations; iteration++) {
    let moved = iteration === 0;
    for (let j = 1; j < k; j++) {
      const bound = firstAbove(points.x, (centroids[j - 1] + centroids[j]) / 2);
      if (bound !== bounds[j]) moved = true;
      bounds[j] = bound;
    }
    if (!moved) {
      if (!reseed(points, centroids, bounds, pinned)) break;
      if (keepZero) pinned = centroids.indexOf(0);
      continue;
    }
    until.fill(0);
    for (let j = 0; j < k; j++) {
      before.set(until);
      sumsBefore(points, bounds[j + 1], until);
      const weight = until[0] - before[0];
      if (j !== pinned && weight > 0) centroids[j] = (until[1] - before[1]) / weight;
    }
  }
  return centroids;
}

/**
 * Moves each centroid without values into the cluster of largest error, which is split at its mean,
 * so that all of the codebook is used. Returns false where nothing was moved.
 */
function reseed(
  points: Points,
  centroids: Float64Array,
  bounds: Int32Array,
  pinned: number,
): boolean {
  const { x, w } = points;
  const empty: number[] = [];
  const spread = new Float64Array(centroids.length);
  for (let j = 0; j < centroids.length; j++) {
    if (j === pinned) continue;
    let weight = 0;
    for (let i = bounds[j]; i < bounds[j + 1]; i++) {
      const wi = w ? w[i] : 1;
      weight += wi;
      const gap = x[i] - centroids[j];
      spread[j] += wi * gap * gap;
    }
    if (weight === 0) empty.push(j);
  }
  if (empty.length === 0) return false;
  const worst = Array.from(spread.keys()).sort((a, b) => spread[b] - spread[a]);
  const parts = [0, 1, 2].map(() => new Float64Array(2));
  let moved = false;
  for (let e = 0; e < empty.length && spread[worst[e]] > 0; e++) {
    const split = worst[e];
    const cuts = [bounds[split], firstAbove(x, centroids[split]), bounds[split + 1]];
    cuts.forEach((cut, i) => {
      sumsBefore(points, cut, parts[i]);
    });
    const [[w0, m0], [w1, m1], [w2, m2]] = parts;
    if (w1 === w0 || w2 === w1) continue;
    centroids[split] = (m1 - m0) / (w1 - w0);
    centroids[empty[e]] = (m2 - m1) / (w2 - w1);
    moved = true;
  }
  centroids.sort();
  return moved;
}

/** The number of values <= limit at the start of the sorted x. */
function firstAbove(x: Float32Array, limit: number): number {
  let low = 0;
  let high = x.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (x[middle] > limit) high = middle;
    else low = middle + 1;
  }
  return low;
}
