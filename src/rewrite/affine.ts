/**
 * @file Affine nodes: Mul, Add, Sub, Div with a constant, and BatchNormalization, as
 *
 *   y = scale * x + shift        with one number for each channel
 */
import type { Node, Value } from "../ir/graph.ts";
import type { Tensor } from "../ir/tensor.ts";
import type { Builder } from "../ops/builder.ts";
import { isFoldable } from "./constants.ts";

/** One number for all channels, or one for each. */
export type PerChannel = number | Float64Array;

/** The axis of channels of a tensor: its size, and how many axes come after it. */
export interface Channels {
  readonly count: number;
  readonly after: number;
  /**
   * The number of axes; null where it is not known, which requires that the channels are the last
   * axis.
   */
  readonly rank: number | null;
}

/** y = scale * x + shift. */
export interface Affine {
  readonly x: Value;
  readonly scale: PerChannel;
  readonly shift: PerChannel;
}

export const affineOps = ["Mul", "Add", "Sub", "Div", "BatchNormalization"] as const;

/** The variable operand x of an affine node, whatever its channels; null for other nodes. */
export function affineInput(node: Node | null): Value | null {
  if (node?.domain !== "") return null;
  const [a, b] = node.inputs;
  switch (node.op) {
    case "BatchNormalization":
      return node.inputs.slice(1).every((input) => isFoldable(input?.tensor)) && !isTraining(node)
        ? a
        : null;
    case "Mul":
    case "Add":
    case "Sub":
      if (a && isFoldable(b?.tensor) && !a.tensor) return a;
      return b && isFoldable(a?.tensor) && !b.tensor ? b : null;
    case "Div":
      return a && isFoldable(b?.tensor) && !a.tensor ? a : null;
    default:
      return null;
  }
}

/** The node as scale and shift along `channels`; null where its constant varies otherwise. */
export function affineOf(node: Node, channels: Channels): Affine | null {
  const x = affineInput(node);
  if (!x) return null;
  if (node.op === "BatchNormalization") return batchNorm(node, x, channels);
  const [a, b] = node.inputs as readonly Value[];
  const constant = perChannel((x === a ? b : a).tensor as Tensor, channels);
  if (constant === null) return null;
  switch (node.op) {
    case "Mul":
      return { x, scale: constant, shift: 0 };
    case "Add":
      return { x, scale: 1, shift: constant };
    case "Sub":
      return x === a
        ? { x, scale: 1, shift: map(constant, (c) => -c) }
        : { x, scale: -1, shift: constant };
    default:
      return { x, scale: map(constant, (c) => 1 / c), shift: 0 };
  }
}

/** y = S (x - mean) / sqrt(var + epsilon) + B */
function batchNorm(node: Node, x: Value, { count, after, rank }: Channels): Affine | null {
  if (rank === null || rank < 2 || after !== rank - 2) return null;
  const vectors = node.inputs.slice(1).map((input) => input?.tensor?.numbers() ?? []);
  if (vectors.some((vector) => vector.length !== count)) return null;
  const [S, B, mean, variance] = vectors;
  const epsilon = node.float("epsilon", 1e-5);
  const scale = Float64Array.from(S, (s, c) => s / Math.sqrt(variance[c] + epsilon));
  return { x, scale, shift: scale.map((s, c) => B[c] - mean[c] * s) };
}

/** Whether a BatchNormalization computes statistics of the batch. */
function isTraining(node: Node): boolean {
  return node.int("training_mode", 0) !== 0 || node.outputs.slice(1).some((o) => o.uses.size > 0);
}

/** A constant, broadcast to the channels; null where it varies along another axis. */
export function perChannel(tensor: Tensor, { count, after, rank }: Channels): PerChannel | null {
  const { shape } = tensor;
  if (shape.length > (rank ?? after + 1)) return null;
  if (tensor.size === 1) return tensor.numbers()[0];
  const axis = shape.length - 1 - after;
  if (tensor.size !== count || shape[axis] !== count) return null;
  return Float64Array.from(tensor.numbers());
}

/** second(first(x)) as one affine function. */
export function compose(first: Affine, second: Affine): Affine {
  return {
    x: first.x,
    scale: zip(first.scale, second.scale, (a, c) => a * c),
    shift: zip(
      zip(first.shift, second.scale, (b, c) => b * c),
      second.shift,
      (b, d) => b + d,
    ),
  };
}

export function map(v: PerChannel, f: (x: number) => number): PerChannel {
  return typeof v === "number" ? f(v) : v.map((x) => f(x));
}

/** f of the two numbers of each channel. */
export function zip(v: PerChannel, w: PerChannel, f: (x: number, y: number) => number): PerChannel {
  if (typeof v !== "number") return v.map((x, c) => f(x, at(w, c)));
  return typeof w === "number" ? f(v, w) : w.map((y) => f(v, y));
}

export function at(v: PerChannel, c: number): number {
  return typeof v === "number" ? v : v[c];
}

export function every(v: PerChannel, test: (x: number) => boolean): boolean {
  return typeof v === "number" ? test(v) : v.every(test);
}

/** Whether the number of every channel is x. */
export function isAll(v: PerChannel, x: number): boolean {
  return every(v, (y) => y === x);
}

/** A constant that broadcasts along the axis of channels. */
export function channelConstant(
  g: Builder,
  v: PerChannel,
  { count, after }: Channels,
  dtype: Tensor["dtype"],
): Value {
  if (typeof v === "number") return g.constant([v], { dtype, shape: [] });
  return g.constant([...v], { dtype, shape: [count, ...Array(after).fill(1)] });
}
