/**
 * @file Entropy-constrained scalar quantization: a codebook whose indices are also cheap to code
 * (Choi et al. 2017, arXiv 1612.01543, section 4; Chou, Lookabaugh, Gray 1989).
 *
 *   J = D + lambda H
 *   D = sum_i h_i (x_i - c_k(i))^2 / sum_i h_i x_i^2     error as a share of the energy
 *   H = -sum_k p_k log2 p_k                              bits per value, p_k the share of cluster k
 *
 * Lloyd's iteration with code lengths l_k = -log2 p_k: each value takes the k that minimizes its
 * share of D + lambda l_k, then c_k becomes the mean and p_k the share of its cluster. Neither half
 * of a step raises J. Clusters that lose all of their values are left out.
 */
import type { Kmeans } from "./kmeans.ts";
import { log } from "./log.ts";

export interface EntropyOptions {
  /** Price of one bit per value, as a share of the energy: >= 0. */
  readonly lambda: number;
  /** One importance h_i >= 0 for each value; all are 1 unless given. */
  readonly weights?: ArrayLike<number>;
  /** The centroid 0 stays, and values that are 0 stay there, so that pruned weights stay pruned. */
  readonly keepZero?: boolean;
  readonly maxIterations?: number;
}

export interface EntropyKmeans extends Kmeans {
  /** J of the start, and after each iteration. */
  readonly objectives: readonly number[];
  /** H of the result. */
  readonly entropy: number;
}

/** An iteration that lowers J by less than this share is the last. */
const ENOUGH = 1e-5;

/** Lowers J from the codebook `start` of the finite `values` until that pays no more. */
export function entropyKmeans(
  values: Float32Array,
  start: Kmeans,
  { lambda, weights, keepZero = false, maxIterations = 100 }: EntropyOptions,
): EntropyKmeans {
  const n = values.length;
  const h = (i: number): number => (weights ? weights[i] : 1);
  let energy = 0;
  for (let i = 0; i < n; i++) energy += h(i) * values[i] * values[i];
  energy ||= 1;
  let state = clustersOf(values, start.index, start.centroids, h, keepZero);
  const objectives = [objectiveOf(state, energy, lambda)];
  for (let iteration = 0; iteration < maxIterations; iteration++) {
    const { centroids, counts } = state;
    // In units of squared error: a bit costs lambda / n of the energy.
    const prices = counts.map((count) => (-log(count / n) / Math.LN2) * ((lambda * energy) / n));
    const zero = keepZero ? centroids.indexOf(0) : -1;
    const index = new Uint16Array(n);
    for (let i = 0; i < n; i++) {
      const [x, weight] = [values[i], h(i)];
      let best = 0;
      let least = Number.POSITIVE_INFINITY;
      for (let k = 0; k < centroids.length; k++) {
        const gap = x - centroids[k];
        const cost = weight * gap * gap + prices[k];
        if (cost < least) [best, least] = [k, cost];
      }
      index[i] = zero >= 0 && x === 0 ? zero : best;
    }
    state = clustersOf(values, index, centroids, h, keepZero);
    const objective = objectiveOf(state, energy, lambda);
    objectives.push(objective);
    if (objective > (objectives.at(-2) as number) * (1 - ENOUGH)) break;
  }
  const { centroids, index, error } = state;
  const entropy = entropyOf(state);
  return { centroids: Float32Array.from(centroids), index, error, objectives, entropy };
}

/** The codebook of an assignment, without empty clusters. */
interface State {
  readonly centroids: Float64Array;
  readonly counts: Float64Array;
  readonly index: Uint16Array;
  readonly error: number;
}

/** Means, counts and error of the clusters of `index`; the order of the centroids stays. */
function clustersOf(
  values: Float32Array,
  index: Uint16Array,
  before: ArrayLike<number>,
  h: (i: number) => number,
  keepZero: boolean,
): State {
  const sums = new Float64Array(before.length);
  const weight = new Float64Array(before.length);
  const counts = new Float64Array(before.length);
  for (let i = 0; i < values.length; i++) {
    const [k, w] = [index[i], h(i)];
    sums[k] += w * values[i];
    weight[k] += w;
    counts[k]++;
  }
  const kept = Array.from(counts.keys()).filter((k) => counts[k] > 0);
  const place = new Uint16Array(before.length);
  for (const [at, k] of kept.entries()) place[k] = at;
  const centroids = Float64Array.from(kept, (k) => {
    const isPinned = keepZero && before[k] === 0;
    return isPinned || weight[k] === 0 ? before[k] : sums[k] / weight[k];
  });
  const moved = index.map((k) => place[k]);
  let error = 0;
  for (let i = 0; i < values.length; i++) error += h(i) * (values[i] - centroids[moved[i]]) ** 2;
  return { centroids, counts: Float64Array.from(kept, (k) => counts[k]), index: moved, error };
}

function entropyOf({ counts, index }: State): number {
  let bits = 0;
  for (const count of counts) bits -= (count * log(count / index.length)) / Math.LN2;
  return bits / index.length;
}

const objectiveOf = (state: State, energy: number, lambda: number): number =>
  state.error / energy + lambda * entropyOf(state);
