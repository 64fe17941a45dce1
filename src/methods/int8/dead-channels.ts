/** @file Channels whose weights hardly count beside their bias: the engine rounds that bias too. */
import type { Weight } from "../../weights/form.ts";

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
export function silenceDead(weight: Weight, axis: number, { input, bias }: BiasSteps): Weight {
  const { shape, values } = weight;
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const channelOf = (i: number): number => Math.floor(i / inner) % shape[axis];
  const largest = new Float64Array(shape[axis]);
  for (let i = 0; i < values.length; i++) {
    const channel = channelOf(i);
    largest[channel] = Math.max(largest[channel], Math.abs(values[i]));
  }
  const isDead = largest.map((w, c) =>
    w > 0 && Math.abs(bias[c]) > (w / 127) * input * LIMIT ? 1 : 0,
  );
  if (!isDead.includes(1)) return weight;
  const kept = values.map((w, i) => (isDead[channelOf(i)] ? 0 : w));
  return { ...weight, values: kept, form: { kind: "float", dtype: "float32", values: kept } };
}

/** Scales with one fit for the bias wherever a channel is all zero (its levels do not care). */
export function scalesForBias(
  scale: Float32Array,
  { values, shape }: Weight,
  axis: number,
  { input, bias }: BiasSteps,
): Float32Array {
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const isZero = new Uint8Array(shape[axis]).fill(1);
  for (let i = 0; i < values.length; i++) {
    if (values[i] !== 0) isZero[Math.floor(i / inner) % shape[axis]] = 0;
  }
  return scale.map((s, c) => {
    if (!isZero[c] || bias[c] === 0) return s;
    return Math.abs(bias[c]) / (input * 2 ** BITS);
  });
}
