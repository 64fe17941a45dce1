/**
 * @file Statistics of an activation over a stream of batches in bounded memory: a histogram
 * of adaptive range.
 */

/**
 * Counts in bins of equal width, a power of two: bin i holds [(first + i) width, (first + i + 1)
 * width).
 *
 * 0 is always a bin edge inside the window. Exact zeros are counted apart, because every affine
 * quantizer represents them exactly, and after a ReLU they outnumber the rest.
 */
export interface Histogram {
  /**
   * Counts a batch, each value as `weight` values (1 by default). NaN and infinities only increase
   * `nonFinite`.
   */
  add(values: Float32Array, weight?: number): void;
  readonly counts: Float64Array;
  readonly width: number;
  /** Index of the first bin, <= 0. */
  readonly first: number;
  /** Number of finite values, zeros included. */
  readonly count: number;
  readonly zeros: number;
  readonly nonFinite: number;
  /** The exact extremes; 0 where no value was counted. */
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  /** Mean of the squares. */
  readonly power: number;
}

/**
 * An empty histogram. The first batch sets its window. For a value outside, the bin width is
 * doubled and pairs of bins are merged. Counts are exact whatever the order of the batches.
 */
export function createHistogram(bins = 4096): Histogram {
  let counts = new Float64Array(bins);
  let width = 0;
  let first = 0;
  let count = 0;
  let zeros = 0;
  let nonFinite = 0;
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  let sum = 0;
  let squares = 0;

  function add(values: Float32Array, weight = 1): void {
    let finite = 0;
    // Local variables: the engine keeps them in registers, unlike the variables of a closure.
    let low = min;
    let high = max;
    let total = 0;
    let power = 0;
    for (let i = 0; i < values.length; i++) {
      const x = values[i];
      // x - x is NaN for NaN and for infinities.
      if (x - x !== 0) continue;
      finite++;
      if (x < low) low = x;
      if (x > high) high = x;
      total += x;
      power += x * x;
    }
    min = low;
    max = high;
    sum += total * weight;
    squares += power * weight;
    count += finite * weight;
    nonFinite += (values.length - finite) * weight;
    if (finite === 0) return;
    cover(Math.min(min, 0), Math.max(max, 0));
    const perUnit = width > 0 ? 1 / width : 0;
    const bins = counts;
    const start = first;
    let none = 0;
    for (let i = 0; i < values.length; i++) {
      const x = values[i];
      if (x === 0) none++;
      else if (x - x === 0) bins[Math.floor(x * perUnit) - start] += weight;
    }
    zeros += none * weight;
  }

  /** Widens the window until it holds low <= 0 <= high. */
  function cover(low: number, high: number): void {
    if (low === high) return;
    let wider = width;
    if (wider === 0) {
      wider = 1;
      while (wider * bins > high - low) wider /= 2;
    }
    while (Math.floor(high / wider) - Math.floor(low / wider) >= bins) wider *= 2;
    const start = Math.floor(low / wider);
    if (wider === width && start >= first && Math.floor(high / wider) < first + bins) return;
    const moved = new Float64Array(bins);
    for (let i = 0; i < bins; i++) {
      // The product is exact, as a power of two times an integer.
      if (counts[i] > 0) moved[Math.floor(((first + i) * width) / wider) - start] += counts[i];
    }
    counts = moved;
    width = wider;
    first = start;
  }

  return {
    add,
    get counts() {
      return counts;
    },
    get width() {
      return width;
    },
    get first() {
      return first;
    },
    get count() {
      return count;
    },
    get zeros() {
      return zeros;
    },
    get nonFinite() {
      return nonFinite;
    },
    get min() {
      return count > 0 ? min + 0 : 0; // + 0: never -0
    },
    get max() {
      return count > 0 ? max + 0 : 0;
    },
    get mean() {
      return count > 0 ? sum / count : 0;
    },
    get power() {
      return count > 0 ? squares / count : 0;
    },
  };
}
