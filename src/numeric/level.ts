/** @file A single value on a grid of levels, with the rounding of ONNX QuantizeLinear. */

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
