/** @file Channels whose weights hardly count beside their bias: the engine rounds that bias too. */

import { product } from "../util/product.ts";
import { type FloatWeight, leaf } from "../weights/weight.ts";

/**
 * ONNX Runtime turns a float bias into int32 of step s_x s_w. A channel with (almost) no weights has
 * no scale s_w of its own: too small a one overflows the bias, too large a one rounds it away.
 */
export interface BiasSteps {
  /** s_x, the scale of the layer's input. */
  readonly input: number;
  /** One per output channel. */
  readonly bias: Float32Array;
}

/** Rounded to this many bits, a bias is exact enough and far from overflow. */
const BITS = 24;
/** Beyond this the int32 would overflow soon. */
const LIMIT = 2 ** 30;

/** The weight with channels set to zero whose scale could not carry their bias (their effect is nil). */
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

/** Scales with one fit for the bias wherever a channel is all zero (its levels do not care). */
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

/** The channel of an element, by its place in the row-major weight. */
function channelsAlong({ shape }: FloatWeight, axis: number): (element: number) => number {
  const inner = product(shape.slice(axis + 1));
  return (element) => Math.floor(element / inner) % shape[axis];
}

/** The largest absolute weight of each channel. */
function largestOf(weight: FloatWeight, axis: number): Float64Array {
  const channelOf = channelsAlong(weight, axis);
  const largest = new Float64Array(weight.shape[axis]);
  for (const [i, w] of weight.values.entries()) {
    const channel = channelOf(i);
    largest[channel] = Math.max(largest[channel], Math.abs(w));
  }
  return largest;
}
