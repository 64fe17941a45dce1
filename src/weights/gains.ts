/** @file A weight times a factor for each channel, in the form that it has. */
import { grid, gridOf } from "./forms/grid.ts";
import { type Composed, type FloatWeight, type Leaf, leaf, type Weight } from "./weight.ts";

/**
 * The weight with channel i of `axis` multiplied by gains[i]: plain floats, or a grid, whose scales
 * become those of channels. Null for any other form, for scales of blocks, for 16-bit floats, and where
 * a gain of 0 or below leaves the range of the levels.
 */
export function withGains(weight: FloatWeight, gains: Float32Array, axis: number): Weight | null {
  const { shape } = weight;
  const inner = shape.slice(axis + 1).reduce((size, dim) => size * dim, 1);
  const channelOf = (i: number): number => Math.floor(i / inner) % shape[axis];
  if (weight.form === null) {
    if (weight.coding !== "float32") return null;
    return leaf(
      weight.values.map((w, i) => w * gains[channelOf(i)]),
      shape,
    );
  }
  if (weight.form.kind !== grid.kind) return null;
  const { levels, scale } = (weight as Composed).theta as Record<"levels" | "scale", Leaf>;
  const { coding } = levels;
  const fits = scale.form === null && levels.form === null && levels.shape.length === shape.length;
  if (!fits || typeof coding === "string") return null;
  if (scale.shape.some((dim, i) => dim > 1 && i !== axis)) return null;
  // Integer kernels take positive scales only, so a sign goes into the levels.
  if (gains.includes(0)) return null;
  const scales = gains.map(
    (gain, i) => Math.abs(gain) * scale.values[scale.values.length > 1 ? i : 0],
  );
  const q = (levels.values as Int8Array | Int16Array).map((level, i) =>
    gains[channelOf(i)] < 0 ? -level : level,
  );
  if (!q.every((level) => fitsIn(level, coding.bits))) return null;
  return gridOf(q, shape, { scales, axis, block: null, bits: coding.bits });
}

/** Whether a level is in the range of its bits: -2^(b-1) to 2^(b-1) - 1, and -1 or 1 in one bit. */
const fitsIn = (level: number, bits: number): boolean =>
  bits === 1 ? Math.abs(level) === 1 : level >= -(2 ** (bits - 1)) && level < 2 ** (bits - 1);
