/** @file The range that an activation is quantized over, chosen from its histogram alone. */
import { log } from "./log.ts";
import type { Histogram } from "./sketch.ts";

/** Contains 0; min is exactly 0 where no value was negative, max where none was positive. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

export type Calibrator =
  | { readonly kind: "minmax" }
  /** The share of values inside, percent. */
  | { readonly kind: "percentile"; readonly percentile: number }
  | { readonly kind: "entropy" }
  | { readonly kind: "mse" };

/** The range for 2^bits levels; {0, 0} for a tensor that was never seen or is all zero. */
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
      return mseRange(histogram, whole, 2 ** bits);
  }
}

/** Cuts the same share off both tails; off the only tail where one sign is missing. */
function percentileRange(histogram: Histogram, whole: Range, percentile: number): Range {
  const { counts, width, first, count } = histogram;
  const cut = ((1 - percentile / 100) * count) / (whole.min < 0 && whole.max > 0 ? 2 : 1);
  const range = { min: 0 - tail(-1, -whole.min), max: tail(1, whole.max) };
  // So sparse that the cut would take every nonzero value: keep them all.
  return range.min === range.max ? whole : range;

  /** The distance from 0 beyond which `cut` values of that sign lie, at most `extreme`. */
  function tail(sign: 1 | -1, extreme: number): number {
    let beyond = 0;
    const bins = sign > 0 ? counts.length + first : -first;
    for (let k = bins - 1; k >= 0; k--) {
      const inside = counts[(sign > 0 ? k : -k - 1) - first];
      if (beyond + inside > cut) {
        // Values fill the bin evenly, up to the extreme in the last one.
        const top = Math.min((k + 1) * width, extreme);
        return top - (top - k * width) * ((cut - beyond) / inside);
      }
      beyond += inside;
    }
    return 0;
  }
}

/**
 * Least expected squared error: step^2 / 12 for every nonzero value inside, the squared distance to
 * the edge for every value outside. Prefix sums make a candidate cost O(1), so the two edges try
 * every bin edge in turn until neither moves.
 */
function mseRange(histogram: Histogram, whole: Range, levels: number): Range {
  const { counts, width, first } = histogram;
  const bins = counts.length;
  // Mass, first and second moment of the bins before each edge; values fill their bin evenly.
  const mass = new Float64Array(bins + 1);
  const moment = new Float64Array(bins + 1);
  const square = new Float64Array(bins + 1);
  for (let i = 0; i < bins; i++) {
    const center = (first + i + 0.5) * width;
    mass[i + 1] = mass[i] + counts[i];
    moment[i + 1] = moment[i] + counts[i] * center;
    square[i + 1] = square[i] + counts[i] * (center * center + (width * width) / 12);
  }
  const clamp = (edge: number) => Math.min(whole.max, Math.max(whole.min, (first + edge) * width));
  const lowEdges = Math.max(0, Math.floor(whole.min / width) - first);
  const highEdge = Math.min(bins, Math.ceil(whole.max / width) - first);
  const zero = -first;
  let low = lowEdges;
  let high = highEdge;
  for (;;) {
    const before = [low, high];
    low = bestEdge(lowEdges, zero, (edge) => errorOf(edge, high));
    high = bestEdge(zero, highEdge, (edge) => errorOf(low, edge));
    if (low === before[0] && high === before[1]) return { min: clamp(low), max: clamp(high) };
  }

  function errorOf(from: number, to: number): number {
    const min = clamp(from);
    const max = clamp(to);
    const step = (max - min) / (levels - 1);
    return (
      ((step * step) / 12) * (mass[to] - mass[from]) +
      (square[from] - 2 * min * moment[from] + min * min * mass[from]) +
      (square[bins] - square[to]) -
      2 * max * (moment[bins] - moment[to]) +
      max * max * (mass[bins] - mass[to])
    );
  }
}

/** The edge of least error in [from, to]. */
function bestEdge(from: number, to: number, errorOf: (edge: number) => number): number {
  let best = from;
  let least = Number.POSITIVE_INFINITY;
  for (let edge = from; edge <= to; edge++) {
    const error = errorOf(edge);
    if (error < least) {
      least = error;
      best = edge;
    }
  }
  return best;
}

/** Ranges tried: magnitudes up to i / CANDIDATES of the largest. */
const CANDIDATES = 128;

/** What a level without values counts, so that log stays finite. */
const SMALL = 1e-4;

/**
 * Least Kullback-Leibler divergence between the clipped histogram P, whose outliers sit in its edge
 * bins, and Q, the values inside after rounding to levels (Migacz 2017, TensorRT). The candidates
 * are [-T, T] cut to the values' own range, so one-sided data keep all their levels.
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
    // Fewer bins than levels cannot tell one rounding from another.
    if (to - from < levels) break;
    const divergence = divergenceOf(histogram, from, to, levels);
    if (divergence < least) {
      least = divergence;
      best = { min, max };
    }
  }
  return best;
}

/** KL(P || Q) for the bins [from, to). Exact zeros are an atom that both keep. */
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
