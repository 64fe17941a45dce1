/**
 * @file Calibration: chooses the range that an activation is quantized over from its histogram
 * alone.
 *
 * With P the histogram of the values x and q(x) the quantizer of a range, the calibrators choose
 *
 *   minmax      the smallest and the largest value
 *   percentile  the range that holds a given share of the values
 *   mse         argmin over ranges of sum (x - q(x))^2
 *   aciq        the same in closed form, for a Laplace or a normal distribution (aciq.ts)
 *   entropy     argmin over ranges of KL(P || Q), Q being P quantized (Migacz 2017, TensorRT)
 */
import { aciqRanges } from "./aciq.ts";
import { log } from "./log.ts";
import { quantParams } from "./quantize.ts";
import type { Histogram } from "./sketch.ts";

/**
 * A range that contains 0. `min` is exactly 0 where no value was negative, `max` where
 * none was positive.
 */
export interface Range {
  readonly min: number;
  readonly max: number;
}

/** How the range is chosen, and what that needs to know. */
export type Calibrator =
  | { readonly kind: "minmax" }
  /** `percentile` is the share of the values that stay inside the range, in percent. */
  | { readonly kind: "percentile"; readonly percentile: number }
  | { readonly kind: "entropy" }
  | { readonly kind: "mse" }
  | { readonly kind: "aciq" };

/**
 * The range for 2^bits levels, in the units of the activation. It is {0, 0} for a tensor that was
 * never observed or has only zeros.
 */
export function calibrate(histogram: Histogram, calibrator: Calibrator, bits = 8): Range {
  const whole = { min: Math.min(histogram.min, 0), max: Math.max(histogram.max, 0) };
  if (whole.min === whole.max) return { min: 0, max: 0 };
  switch (calibrator.kind) {
    case "minmax":
      return whole;
    case "percentile":
      return percentileRange(histogram, whole, calibrator.percentile);
    case "entropy":
      return entropyRange(histogram, whole, 2 ** bits);
    case "mse":
      return mseRange(histogram, whole, bits);
    case "aciq":
      return aciqRange(histogram, whole, bits);
  }
}

/** Cuts the same share off both tails, or all of it off the only tail where one sign is missing. */
function percentileRange(histogram: Histogram, whole: Range, percentile: number): Range {
  const { counts, width, first, count } = histogram;
  const cut = ((1 - percentile / 100) * count) / (whole.min < 0 && whole.max > 0 ? 2 : 1);
  const range = { min: 0 - tail(-1, -whole.min), max: tail(1, whole.max) };
  // With very few non-zero values, the cut would take all of them; then all are kept.
  return range.min === range.max ? whole : range;

  /** The distance from 0 beyond which `cut` values of that sign lie, at most `extreme`. */
  function tail(sign: 1 | -1, extreme: number): number {
    let beyond = 0;
    const bins = sign > 0 ? counts.length + first : -first;
    for (let k = bins - 1; k >= 0; k--) {
      const inside = counts[(sign > 0 ? k : -k - 1) - first];
      if (beyond + inside > cut) {
        // Values are assumed to fill the bin evenly, up to the extreme in the last one.
        const top = Math.min((k + 1) * width, extreme);
        return top - (top - k * width) * ((cut - beyond) / inside);
      }
      beyond += inside;
    }
    return 0;
  }
}

/**
 * Edges tried in a search. Each finer search tries the surroundings of the best one at an
 * eighth of the spacing.
 */
const EDGES = 64;

/**
 * The range of least squared error. Both edges shrink together first; then each edge moves alone,
 * in turn, until neither improves, on finer and finer grids.
 */
function mseRange(histogram: Histogram, whole: Range, bits: number): Range {
  const errorOf = squaredError(histogram, bits);
  let best = whole;
  let least = errorOf(whole);
  const consider = (min: number, max: number): boolean => {
    const range = { min: clamp(min, whole.min, 0), max: clamp(max, 0, whole.max) };
    const error = errorOf(range);
    if (!(error < least)) return false;
    best = range;
    least = error;
    return true;
  };
  for (let i = 1; i < EDGES; i++) consider((whole.min * i) / EDGES, (whole.max * i) / EDGES);
  for (let spacing = 1 / EDGES, reach = EDGES; spacing > 1e-4; spacing /= 8, reach = 8) {
    for (let moved = true; moved; ) {
      moved = false;
      const { min, max } = best;
      for (let i = -reach; i <= reach; i++) {
        if (whole.max > 0 && consider(best.min, max + i * spacing * whole.max)) moved = true;
      }
      for (let i = -reach; i <= reach; i++) {
        if (whole.min < 0 && consider(min + i * spacing * whole.min, best.max)) moved = true;
      }
    }
  }
  return best;
}

/**
 * The squared error of quantizing the histogram, as a function of the range:
 *
 *   sum over levels c of the integral of (x - c)^2 over the values x that round to c
 *
 * Values are assumed to fill their bin evenly, so prefix sums of count, first and second moment
 * give each integral directly. Zeros have no error, because 0 is a level of every range.
 */
function squaredError({ counts, width, first }: Histogram, bits: number): (range: Range) => number {
  const bins = counts.length;
  const levels = 2 ** bits;
  // Sums of 1, x and x^2 before each bin.
  const ones = new Float64Array(bins + 1);
  const xs = new Float64Array(bins + 1);
  const squares = new Float64Array(bins + 1);
  for (let i = 0; i < bins; i++) {
    const low = (first + i) * width;
    ones[i + 1] = ones[i] + counts[i];
    xs[i + 1] = xs[i] + counts[i] * (low + width / 2);
    squares[i + 1] = squares[i] + counts[i] * (low * low + low * width + (width * width) / 3);
  }
  return ({ min, max }) => {
    if (min === max) return squares[bins];
    const { scale, zeroPoint } = quantParams(min, max, { bits });
    let error = 0;
    // The sums before the edge below the level.
    let [n, x, square] = [0, 0, 0];
    for (let level = 0; level < levels; level++) {
      const center = (level - zeroPoint) * scale;
      const edge = (center + scale / 2) / width - first;
      const isLast = level + 1 === levels || edge >= bins;
      if (!isLast && !(edge > 0)) continue;
      const bin = isLast ? bins : Math.floor(edge);
      // The values of the edge's bin that are below the edge: its share from `low` on.
      const share = isLast ? 0 : edge - bin;
      const inside = isLast ? 0 : counts[bin] * share;
      const low = (first + bin) * width;
      const length = share * width;
      const nextN = ones[bin] + inside;
      const nextX = xs[bin] + inside * (low + length / 2);
      const nextSquare = squares[bin] + inside * (low * low + low * length + (length * length) / 3);
      error += nextSquare - square - 2 * center * (nextX - x) + center * center * (nextN - n);
      if (isLast) break;
      n = nextN;
      x = nextX;
      square = nextSquare;
    }
    return error;
  };
}

/** Of ACIQ's ranges for both distributions, the one of less error on the histogram itself. */
function aciqRange(histogram: Histogram, whole: Range, bits: number): Range {
  const errorOf = squaredError(histogram, bits);
  const [laplace, gauss] = aciqRanges(histogram, whole, bits);
  return errorOf(laplace) <= errorOf(gauss) ? laplace : gauss;
}

function clamp(x: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, x));
}

/** Ranges tried: magnitudes up to i / CANDIDATES of the largest one. */
const CANDIDATES = 128;

/** The count of a level without values, so that its logarithm is finite. */
const SMALL = 1e-4;

/**
 * The range of least Kullback-Leibler divergence between P, the histogram with the values outside
 * the range added to its edge bins, and Q, the values inside after rounding to `levels` levels
 * (Migacz 2017, TensorRT). The candidates are [-T, T], cut to the values' own range so that data of
 * one sign keep all levels.
 */
function entropyRange(histogram: Histogram, whole: Range, levels: number): Range {
  const { width, first } = histogram;
  const largest = Math.max(-whole.min, whole.max);
  let best = whole;
  let least = Number.POSITIVE_INFINITY;
  for (let i = CANDIDATES; i >= 1; i--) {
    const edge = Math.ceil((largest * i) / CANDIDATES / width) * width;
    const min = Math.max(whole.min, -edge);
    const max = Math.min(whole.max, edge);
    const from = Math.floor(min / width) - first;
    const to = Math.ceil(max / width) - first;
    // With fewer bins than levels, every candidate would look lossless.
    if (to - from < levels) break;
    const divergence = divergenceOf(histogram, from, to, levels);
    if (divergence < least) {
      least = divergence;
      best = { min, max };
    }
  }
  return best;
}

/** KL(P || Q) over the bins [from, to). Exact zeros are a separate point mass in both. */
function divergenceOf(
  { counts, zeros, count }: Histogram,
  from: number,
  to: number,
  levels: number,
): number {
  const n = to - from;
  let below = 0;
  let above = 0;
  for (let i = 0; i < from; i++) below += counts[i];
  for (let i = to; i < counts.length; i++) above += counts[i];
  const inside = count - below - above;
  if (inside <= 0) return Number.POSITIVE_INFINITY;
  let divergence = zeros * log(inside / count);
  for (let level = 0; level < levels; level++) {
    const start = from + Math.floor((level * n) / levels);
    const end = from + Math.floor(((level + 1) * n) / levels);
    let total = 0;
    let filled = 0;
    for (let i = start; i < end; i++) {
      total += counts[i];
      if (counts[i] > 0 || (i === from && below > 0) || (i === to - 1 && above > 0)) filled++;
    }
    const q = total > 0 ? total / filled : SMALL;
    for (let i = start; i < end; i++) {
      const p = counts[i] + (i === from ? below : 0) + (i === to - 1 ? above : 0);
      if (p > 0) divergence += p * log((p * inside) / (q * count));
    }
  }
  return divergence / count;
}
