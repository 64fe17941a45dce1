/** @file A weight times a factor for each channel, in the form that it has. */
import { grid, gridOf } from "./forms/grid.ts";
import { type Composed, type FloatWeight, type Leaf, leaf, type Weight } from "./weight.ts";

/**
 * The weight with channel i of `axis` multiplied by gains[i]: plain floats, or a grid, whose scales
 * become those of channels. Null for any other form, for scales of blocks, and for 16-bit floats.
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
  const scales = gains.map((gain, i) => gain * scale.values[scale.values.length > 1 ? i : 0]);
  const q = levels.values as Int8Array | Int16Array;
  return gridOf(q, shape, { scales, axis, block: null, bits: coding.bits });
}
