/** @file Scales of channels whose weights are (almost) zero, so that their bias survives. */

import { product } from "../util/product.ts";
import { type FloatWeight, leaf } from "../weights/weight.ts";

/**
 * ONNX Runtime rounds a float bias to int32 with step s_x s_w, s_x being the scale of the input and
 * s_w that of the channel's weights. A channel of zero weights has no s_w of its own: too small a
 * step overflows int32, too large a one rounds the bias to 0.
 */
export interface BiasSteps {
  /** s_x, the scale of the layer's input. */
  readonly input: number;
  /** The layer's float bias [output channels]. */
  readonly bias: Float32Array;
}

/** A bias rounded to this many bits is as exact as float32 and far from int32's limit. */
const BITS = 24;
/** The largest level of a bias that is accepted; int32 ends at 2^31. */
const LIMIT = 2 ** 30;

/**
 * The weight with those channels set to zero whose bias would exceed the limit at their own scale,
 * |b_c| > LIMIT s_x max|W_c| / 127. The output hardly depends on such weights.
 */
export function zeroDeadChannels(
  weight: FloatWeight,
  axis: number,
  { input, bias }: BiasSteps,
): FloatWeight {
  const channelOf = channelsAlong(weight, axis);
  const isDead = largestOf(weight, axis).map((w, c) =>
    w > 0 && Math.abs(bias[c]) > (w / 127) * input * LIMIT ? 1 : 0,
  );
  if (!isDead.includes(1)) return weight;
  const kept = weight.values.map((w, i) => (isDead[channelOf(i)] ? 0 : w));
  return leaf(kept, weight.shape);
}

/**
 * The scales [channels] of the weight, where each channel of zero weights and a bias gets the scale
 * |b_c| / (2^24 s_x): any scale represents its zeros, and this one represents its bias.
 */
export function scalesForBias(
  scale: Float32Array,
  weight: FloatWeight,
  axis: number,
  { input, bias }: BiasSteps,
): Float32Array {
  const largest = largestOf(weight, axis);
  return scale.map((s, c) => {
    if (largest[c] > 0 || bias[c] === 0) return s;
    return Math.abs(bias[c]) / (input * 2 ** BITS);
  });
}

/** The channel of an element, by its position in the row-major weight. */
function channelsAlong({ shape }: FloatWeight, axis: number): (element: number) => number {
  const inner = product(shape.slice(axis + 1));
  return (element) => Math.floor(element / inner) % shape[axis];
}

/** max |W_c| for each channel c. */
function largestOf(weight: FloatWeight, axis: number): Float64Array {
  const channelOf = channelsAlong(weight, axis);
  const largest = new Float64Array(weight.shape[axis]);
  for (const [i, w] of weight.values.entries()) {
    const channel = channelOf(i);
    largest[channel] = Math.max(largest[channel], Math.abs(w));
  }
  return largest;
}
