/** @file Values on a grid of levels, with the rounding of ONNX QuantizeLinear, and their errors. */

/** For |x| < 2^51, adding and subtracting this rounds to the nearest integer, ties to even. */
const ROUND = 1.5 * 2 ** 52;

/** The nearest integer, ties to even, for |x| < 2^51, as ONNX rounds. */
export function roundHalfEven(x: number): number {
  return x + ROUND - ROUND;
}

/**
 * The scale of a range of `width` with `steps` steps. An empty range gets scale 1, as
 * all its values are 0.
 */
export function scaleOf(width: number, steps: number): number {
  const scale = Math.fround(width / steps);
  return scale < 2 ** -126 ? 1 : scale;
}

/**
 * The level of a value less the zero point: from `low` to `high`, from which it is taken too. NaN gets
 * the least.
 */
export function levelOf(value: number, scale: number, low: number, high: number): number {
  const x = Math.fround(value / scale);
  const clamped = x > low ? (x < high ? x : high) : low;
  return clamped + ROUND - ROUND;
}

/** Values after which a sum of errors is compared with the least one. */
const STRETCH = 16;

/** The larger squared error of the two extremes. No sum of all errors is less, however it is rounded. */
export function endError(
  min: number,
  max: number,
  scale: number,
  low: number,
  high: number,
): number {
  const below = min - levelOf(min, scale, low, high) * scale;
  const above = max - levelOf(max, scale, low, high) * scale;
  return Math.max(below * below, above * above);
}

/**
 * The sum of (x - s q)^2 over the values, with their levels q; Infinity once it is no less than `least`.
 */
export function squaredError(
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
