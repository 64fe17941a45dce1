/** @file The scale of a symmetric grid, whose zero point is 0, with the least squared error. */
import { endError, levelOf, roundHalfEven, scaleOf, squaredError } from "./level.ts";

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
  let least = squaredError(values, cover, low, high, Number.POSITIVE_INFINITY);
  let middle = 1;
  // 0.92^33 is about 1/16. Repeated products are used because Math.pow may differ between engines.
  for (let i = 0, share = 0.92; i < 33; i++, share *= 0.92) {
    if (share * (max - min) > FARTHEST) continue;
    const scale = scaleOf(Math.fround(largest * share), high);
    // The error of the extremes alone grows as the scale shrinks on.
    if (endError(min, max, scale, low, high) >= least && largest / scale > -low) break;
    const error = squaredError(values, scale, low, high, least);
    if (error < least) [best, least, middle] = [scale, error, share];
  }
  for (let i = -8; i <= 8; i++) {
    const share = middle * (1 + i / 100);
    if (share * (max - min) > FARTHEST) continue;
    const scale = scaleOf(Math.fround(largest * share), high);
    if (endError(min, max, scale, low, high) >= least) continue;
    const error = squaredError(values, scale, low, high, least);
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
    const error = squaredError(values, scale, low, high, least);
    if (!(error < least)) break;
    [best, least] = [scale, error];
  }
  return best;
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
