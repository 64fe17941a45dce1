/** @file The scale of a symmetric grid, whose zero point is 0, with the least squared error. */
import { levelOf, roundHalfEven, scaleOf } from "./level.ts";

/** Values after which a sum of errors is compared with the least one. */
const STRETCH = 16;

/** Ranges that are wider are not searched, because their errors leave float32. */
const FARTHEST = 2 ** 127;

/**
 * The scale s of least sum (x - s q)^2, where q = round(x / s) has `bits` bits. `min` and `max` are the
 * extremes of the values and 0. Where the values lie on a grid already, its step is found exactly.
 *
 * The scale is searched in three stages: the range shrinks step by step to a sixteenth; then the best
 * one's surroundings are tried in steps of 1 %; then levels q and their least-squares scale
 * sum x q / sum q^2 are computed in turn while that helps.
 */
export function fitSymmetric(values: Float32Array, min: number, max: number, bits: number): number {
  const high = 2 ** (bits - 1) - 1;
  const low = -high - 1;
  const largest = Math.max(-min, max);
  const cover = scaleOf(Math.fround(largest), high);
  if (largest === 0) return cover;
  const exact = exactStep(values, cover * high, high);
  if (exact !== null) return exact;
  let best = cover;
  let least = errorOf(values, cover, low, high, Number.POSITIVE_INFINITY);
  let middle = 1;
  // 0.92^33 is about 1/16. Repeated products are used because Math.pow may differ between engines.
  for (let i = 0, share = 0.92; i < 33; i++, share *= 0.92) {
    if (share * (max - min) > FARTHEST) continue;
    const scale = scaleOf(Math.fround(largest * share), high);
    // The error of the extremes alone grows as the scale shrinks on.
    if (endError(min, max, scale, low, high) >= least && largest / scale > -low) break;
    const error = errorOf(values, scale, low, high, least);
    if (error < least) [best, least, middle] = [scale, error, share];
  }
  for (let i = -8; i <= 8; i++) {
    const share = middle * (1 + i / 100);
    if (share * (max - min) > FARTHEST) continue;
    const scale = scaleOf(Math.fround(largest * share), high);
    if (endError(min, max, scale, low, high) >= least) continue;
    const error = errorOf(values, scale, low, high, least);
    if (error < least) [best, least] = [scale, error];
  }
  for (let i = 0; i < 8; i++) {
    let along = 0;
    let square = 0;
    for (let k = 0; k < values.length; k++) {
      const level = levelOf(values[k], best, low, high);
      along += values[k] * level;
      square += level * level;
    }
    if (!(along > 0)) break;
    const scale = Math.fround(along / square);
    const error = errorOf(values, scale, low, high, least);
    if (!(error < least)) break;
    [best, least] = [scale, error];
  }
  return best;
}

/** The larger squared error of the two extremes. No sum of all errors is less, however it is rounded. */
function endError(min: number, max: number, scale: number, low: number, high: number): number {
  const below = min - levelOf(min, scale, low, high) * scale;
  const above = max - levelOf(max, scale, low, high) * scale;
  return Math.max(below * below, above * above);
}

/** The squared error; Infinity once it is no less than `least`. */
function errorOf(
  values: Float32Array,
  scale: number,
  low: number,
  high: number,
  least: number,
): number {
  let error = 0;
  for (let from = 0; from < values.length; from += STRETCH) {
    const end = Math.min(from + STRETCH, values.length);
    for (let k = from; k < end; k++) {
      const gap = values[k] - levelOf(values[k], scale, low, high) * scale;
      error += gap * gap;
    }
    if (error >= least) return Number.POSITIVE_INFINITY;
  }
  return error;
}

/**
 * The step of values that already lie on a grid, as those of a model that was quantized before.
 * `largest`, the largest value, is then k steps with k <= `steps`, and quantizing is lossless.
 * Null where no k fits.
 */
function exactStep(values: Float32Array, largest: number, steps: number): number | null {
  for (let k = 1; k <= steps; k++) {
    const perUnit = k / largest;
    let fits = true;
    for (let i = 0; fits && i < values.length; i++) {
      const level = values[i] * perUnit;
      fits = Math.abs(level - roundHalfEven(level)) < 1e-3;
    }
    if (fits) return Math.fround(largest / k);
  }
  return null;
}
