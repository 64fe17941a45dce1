/**
 * @file Exact one-dimensional k-means by dynamic programming (Wang & Song 2011, Ckmeans.1d.dp).
 *
 * D[q][j] is the least error of the first j of the sorted points in q clusters, and cost(i, j) the
 * sum of squared distances of the points [i, j) from their mean:
 *
 *   D[q][j] = min_i D[q-1][i] + cost(i, j)
 *
 * cost satisfies the quadrangle inequality, so the best i grows with j, and divide and conquer
 * fills a row of n points in O(n log n).
 */

/** Largest table (points x clusters) that is worth its time and memory: it takes about a second. */
const CELLS = 2 ** 23;

/** Weighted points as prefix sums [n + 1]: weight, and first and second moment about `shift`. */
interface Moments {
  readonly n: number;
  readonly shift: number;
  readonly weight: Float64Array;
  readonly first: Float64Array;
  readonly second: Float64Array;
}

/**
 * The k ascending centroids of least error for the ascending values `x` with weights `w` (null: all
 * 1); with `keepZero` one of them is 0. The result is exact while distinct values x k are at most
 * 2^23; otherwise it is exact for a histogram with that many cells.
 */
export function optimalCentroids(
  x: Float32Array,
  w: Float32Array | null,
  k: number,
  keepZero: boolean,
): Float64Array {
  const points = moments(x, w, Math.max(2 * k, Math.floor(CELLS / k)), keepZero);
  return keepZero ? pinnedSearch(points, k) : freeSearch(points, k);
}

/** The search without a pinned centroid. */
function freeSearch(points: Moments, k: number): Float64Array {
  const { n } = points;
  const cuts: Int32Array[] = [];
  let row = firstRow(n);
  for (let q = 1; q <= k; q++) {
    const cut = new Int32Array(n + 1);
    row = nextRow(points, row, cut);
    cuts.push(cut);
  }
  const centroids = new Float64Array(k);
  let end = n;
  for (let q = k; q >= 1; q--) {
    const start = cuts[q - 1][end];
    centroids[q - 1] = mean(points, start, end, points.shift);
    end = start;
  }
  return centroids.sort();
}

/**
 * The search with one cluster pinned at 0.
 *
 * Z[q][j] is the least error of the points [0, j) in q clusters, one of which is the zero cluster.
 * Either that is the last one, or an earlier one is, with P the prefix sums of w x^2:
 *
 *   Z[q][j] = min(min_i D[q-1][i] + P[j] - P[i], min_i Z[q-1][i] + cost(i, j))
 *
 * The first minimum is a running one.
 */
function pinnedSearch(points: Moments, k: number): Float64Array {
  const { n, second } = points; // shift is 0: second is P
  const freeCuts: Int32Array[] = [];
  const pinnedCuts: Int32Array[] = [];
  const zeroLast: Uint8Array[] = [];
  let free = firstRow(n);
  let pinned = new Float64Array(n + 1).fill(Number.POSITIVE_INFINITY);
  for (let q = 1; q <= k; q++) {
    const cut = new Int32Array(n + 1);
    const last = new Uint8Array(n + 1);
    const row = nextRow(points, pinned, cut);
    let best = 0;
    for (let j = 0; j <= n; j++) {
      // The zero cluster may be empty (i = j), where all values are far from 0.
      if (free[j] - second[j] < free[best] - second[best]) best = j;
      const error = free[best] + second[j] - second[best];
      if (error <= row[j]) {
        row[j] = error;
        cut[j] = best;
        last[j] = 1;
      }
    }
    pinned = row;
    pinnedCuts.push(cut);
    zeroLast.push(last);
    const freeCut = new Int32Array(n + 1);
    free = nextRow(points, free, freeCut);
    freeCuts.push(freeCut);
  }
  const centroids = new Float64Array(k);
  let end = n;
  let passed = false;
  for (let q = k; q >= 1; q--) {
    const zero: boolean = !passed && zeroLast[q - 1][end] === 1;
    const start = (passed ? freeCuts : pinnedCuts)[q - 1][end];
    centroids[q - 1] = zero ? 0 : mean(points, start, end, 0);
    passed ||= zero;
    end = start;
  }
  return centroids.sort();
}

/** D[0]: no clusters hold no points. */
function firstRow(n: number): Float64Array<ArrayBuffer> {
  const row = new Float64Array(n + 1).fill(Number.POSITIVE_INFINITY);
  row[0] = 0;
  return row;
}

/** row[j] = min over i <= j of previous[i] + cost(i, j); cut[j] becomes that i. */
function nextRow(
  { n, weight, first, second }: Moments,
  previous: Float64Array,
  cut: Int32Array,
): Float64Array<ArrayBuffer> {
  const row = new Float64Array(n + 1);
  fill(0, n, 0, n);
  return row;

  /** Fills the rows `low` to `high`, whose best cuts lie between `left` and `right`. */
  function fill(low: number, high: number, left: number, right: number): void {
    if (low > high) return;
    const j = (low + high) >> 1;
    // An empty last cluster (i = j) costs nothing.
    let best = j;
    let least = previous[j];
    for (let i = left, end = Math.min(right, j - 1); i <= end; i++) {
      const m = first[j] - first[i];
      const error = previous[i] + second[j] - second[i] - (m * m) / (weight[j] - weight[i]);
      if (error < least) {
        least = error;
        best = i;
      }
    }
    row[j] = least;
    cut[j] = best;
    fill(low, j - 1, left, best);
    fill(j + 1, high, best, right);
  }
}

/**
 * The mean of the points [start, end). An empty cluster gets the value of a point, where it can
 * only reduce the error.
 */
function mean({ n, weight, first }: Moments, start: number, end: number, shift: number): number {
  const from = start < end ? start : Math.min(start, n - 1);
  const to = start < end ? end : from + 1;
  return shift + (first[to] - first[from]) / (weight[to] - weight[from]);
}

/**
 * Merges equal values, or where more than `limit` differ, the values in bins of equal width. Values
 * of weight 0 are left out.
 */
function moments(
  x: Float32Array,
  w: Float32Array | null,
  limit: number,
  keepZero: boolean,
): Moments {
  const low = x[0];
  const width = (x[x.length - 1] - low) / limit;
  let values = 1;
  for (let i = 1; i < x.length; i++) if (x[i] !== x[i - 1]) values++;
  const binned = values > limit;
  const n = binned ? limit : values;
  // Moments about a value in the middle lose fewer digits; the zero cluster needs them about 0.
  const shift = keepZero ? 0 : x[x.length >> 1];
  const weight = new Float64Array(n + 1);
  const first = new Float64Array(n + 1);
  const second = new Float64Array(n + 1);
  let count = 0;
  let last = -1;
  for (let i = 0; i < x.length; i++) {
    const wi = w ? w[i] : 1;
    if (wi === 0) continue;
    const bin = binned ? Math.min(n - 1, Math.floor((x[i] - low) / width)) : x[i];
    if (count === 0 || bin !== last) {
      weight[count + 1] = weight[count];
      first[count + 1] = first[count];
      second[count + 1] = second[count];
      count++;
      last = bin;
    }
    const gap = x[i] - shift;
    weight[count] += wi;
    first[count] += wi * gap;
    second[count] += wi * gap * gap;
  }
  return { n: count, shift, weight, first, second };
}
