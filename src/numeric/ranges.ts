/** @file The range of the values that share a scale, for every group of a weight (groups.ts). */
import { eachRun } from "./groups.ts";

/** The least and the greatest of the values of every group and 0. */
export function ranges(
  values: Float32Array,
  shape: readonly number[],
  axis: number | null,
  block: number | null,
  count: number,
): readonly [Float32Array, Float32Array] {
  const [mins, maxs] = [new Float32Array(count), new Float32Array(count)];
  eachRun(shape, axis, block, (start, end, group, step) =>
    widen(mins, maxs, group, step, values, start, end),
  );
  return [mins, maxs];
}

/** Bits of the float32 Infinity; those of finite magnitudes are less. */
const INFINITE = 0x7f800000;

/**
 * The largest magnitude of every group, as a range that ends with it, since a symmetric grid needs no
 * more; null where some value is not finite. Magnitudes are ordered as their bits are, whose maximum
 * takes no branch: half the time of `ranges`.
 */
export function magnitudes(
  values: Float32Array,
  shape: readonly number[],
  axis: number | null,
  block: number | null,
  count: number,
): readonly [Float32Array, Float32Array] | null {
  const bits = new Int32Array(values.buffer, values.byteOffset, values.length);
  const largest = new Int32Array(count);
  eachRun(shape, axis, block, (start, end, group, step) =>
    raise(largest, group, step, bits, start, end),
  );
  const areFinite = largest.every((magnitude) => magnitude < INFINITE);
  return areFinite ? [new Float32Array(count), new Float32Array(largest.buffer)] : null;
}

/** Raises the magnitudes of the groups of a run (`eachRun`) to those of its values, all as bits. */
function raise(
  largest: Int32Array,
  group: number,
  step: number,
  bits: Int32Array,
  start: number,
  end: number,
): void {
  for (let i = start, g = group; i < end; i++, g += step) {
    const more = (bits[i] & ~(1 << 31)) - largest[g];
    largest[g] += more & ~(more >> 31); // max(more, 0)
  }
}

/** Widens the ranges of the groups of a run (`eachRun`), which contain 0, by its values. */
function widen(
  mins: Float32Array,
  maxs: Float32Array,
  group: number,
  step: number,
  values: Float32Array,
  start: number,
  end: number,
): void {
  for (let i = start, g = group; i < end; i++, g += step) {
    const x = values[i];
    if (x < mins[g]) mins[g] = x;
    else if (x > maxs[g]) maxs[g] = x;
  }
}
