/**
 * @file Linear prediction of integers from those before them, so that only the
 * differences are coded.
 *
 * Weights of neighbouring taps, channels and filters are correlated. The encoder fits the
 * coefficients c_t by least squares and stores them in units of 1/128:
 *
 *   prediction(i) = (64 + sum_t c_t v[i - t]) >> 7
 */
import type { Shape } from "./shape.ts";

/** The distances t of a prediction; `width` is the last dimension. */
export function tapsOf({ columns, kernel }: Shape, width: number): number[] {
  const plane = [1, 2, columns - 1, columns, columns + 1, 2 * columns];
  const across = [width - 1, width, width + 1, kernel - 1, kernel, kernel + 1, 2 * kernel];
  const taps = kernel > 1 ? [...plane, ...across] : plane;
  return [...new Set(taps)].filter((tap) => tap > 0);
}

/**
 * Differences -> values (`restore`), or values -> differences. `coefficients` is [sets, taps] with
 * one set for all elements, or one for each place in the kernel.
 */
export function passPrediction(
  source: Int32Array,
  { kernel }: Shape,
  taps: readonly number[],
  coefficients: Int8Array,
  restore: boolean,
): Int32Array<ArrayBuffer> {
  const count = taps.length;
  const sets = coefficients.length / count;
  const front = taps.reduce((a, b) => (a > b ? a : b));
  const known = new Int32Array(front + source.length);
  const out = new Int32Array(source.length);
  const reach = Int32Array.from(taps);
  for (let i = 0; i < source.length; i++) {
    const j = front + i;
    const set = sets > 1 ? (i % kernel) * count : 0;
    let sum = 64;
    for (let t = 0; t < count; t++) {
      sum = (sum + Math.imul(coefficients[set + t], known[j - reach[t]])) | 0;
    }
    sum >>= 7;
    out[i] = restore ? source[i] + sum : source[i] - sum;
    known[j] = restore ? out[i] : source[i];
  }
  return out;
}
