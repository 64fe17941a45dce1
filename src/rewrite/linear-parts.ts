/**
 * @file How a linear node y = W x + b takes scales and shifts of its channels into W and b:
 *
 *   s (W x + b) + t = (s W) x + (s b + t)           absorbOutput
 *   W (s x + t) + b = (W s) x + (W t + b)           absorbInput
 */
import type { Node, Value } from "../ir/graph.ts";
import { type Tensor, tensor } from "../ir/tensor.ts";
import { build } from "../ops/builder.ts";
import { product } from "../util/product.ts";
import { expand } from "../weights/expand.ts";
import { withGains } from "../weights/gains.ts";
import { readWeight } from "../weights/read.ts";
import { at, type Channels, every, isAll, type PerChannel } from "./affine.ts";
import { isFoldable, otherReaders } from "./constants.ts";

/**
 * A node whose constants can absorb scales and shifts of its channels. Each method
 * returns null on success; otherwise it returns the reason and changes nothing, as all
 * checks come before the edits.
 */
export interface Linear {
  readonly node: Node;
  /** The result: the node's output, or that of the Add that is a MatMul's bias. */
  readonly output: Value;
  readonly inputs: Channels;
  readonly outputs: Channels;
  /** Makes the node compute scale y + shift. */
  absorbOutput(scale: PerChannel, shift: PerChannel): string | null;
  /** Makes the node compute the same from x as it did from scale x + shift. */
  absorbInput(scale: PerChannel, shift: PerChannel): string | null;
  /** Whether absorbInput would succeed. */
  checkInput(scale: PerChannel, shift: PerChannel): string | null;
}

/** The output channel and the input channel of each element of W. */
export interface Layout {
  out(index: number): number;
  in(index: number): number;
}

/** What `fromParts` needs to know of a node with weights. */
export interface Parts {
  readonly node: Node;
  readonly output: Value;
  readonly inputs: Channels;
  readonly outputs: Channels;
  readonly layout: Layout;
  /** Why a shift of the input is not a shift of the output; null where it is one. */
  readonly noShift: string | null;
  /** The bias as it is added: zero where there is none, or the reason why it has no such form. */
  readonly bias: PerChannel | string;
  /** Why the node cannot get a bias if it has none. */
  readonly noBias?: string | null;
  setBias(bias: PerChannel): void;
  /** The factor of W in the result (Gemm's alpha). */
  readonly alpha?: number;
}

/** A Linear of a node whose weights are its second input. */
export function fromParts(parts: Parts): Linear {
  const { node, layout, noShift, alpha = 1 } = parts;
  const weight = node.inputs[1] as Value;

  /** Why the weights cannot be changed, or null. */
  function checkWeight(): string | null {
    if (!weight.tensor) return `the weights of ${node.name} are computed, not stored`;
    if (!isFoldable(weight.tensor)) return `the weights of ${node.name} are ${weight.tensor.dtype}`;
    return otherReaders(weight, node) && `the weights of ${node.name} are shared`;
  }

  /** W with the channels of one side scaled; null where a number overflows. */
  function scaled(scale: PerChannel, side: "in" | "out"): Tensor | null {
    const { dtype, shape } = weight.tensor as Tensor;
    const from = (weight.tensor as Tensor).data() as Float32Array;
    const to = new (from.constructor as Float32ArrayConstructor)(from.length);
    const channel = layout[side];
    for (let i = 0; i < from.length; i++) to[i] = from[i] * at(scale, channel(i));
    return to.every(Number.isFinite) ? tensor(dtype, shape, to) : null;
  }

  /** b + W shift. */
  function shiftedBias(shift: PerChannel): Float64Array {
    const W = (weight.tensor as Tensor).numbers();
    const { bias, outputs } = parts;
    const sums = Float64Array.from({ length: outputs.count }, (_, m) => at(bias as PerChannel, m));
    for (let i = 0; i < W.length; i++)
      sums[layout.out(i)] += alpha * W[i] * at(shift, layout.in(i));
    return sums;
  }

  function checkInput(scale: PerChannel, shift: PerChannel): string | null {
    const blocked = checkWeight();
    if (blocked) return blocked;
    if (!every(scale, Number.isFinite) || !every(shift, Number.isFinite)) return overflow(node);
    if (!isAll(scale, 1) && !scaled(scale, "in")) return overflow(node);
    if (isAll(shift, 0)) return null;
    return noShift ?? parts.noBias ?? (typeof parts.bias === "string" ? parts.bias : null);
  }

  /**
   * The weight in a form with its output channels scaled, as nodes; the reason where the form holds
   * no factors of output channels.
   */
  function scaledForm(scale: PerChannel): Value | string {
    const read = otherReaders(weight, node) ? null : readWeight(weight);
    const axis = outputAxis(parts, weight);
    // Plain numbers below other nodes (bytes that are decoded, say) would be stored as floats.
    if (!read?.form || axis === null) return `the weights of ${node.name} are computed, not stored`;
    const gains = Float32Array.from({ length: parts.outputs.count }, (_, m) => at(scale, m));
    const W = gains.every(Number.isFinite) ? withGains(read, gains, axis) : null;
    if (!W) return `the weights of ${node.name} have no factor for each output`;
    return expand(build(node.graph, weight.name), W);
  }

  const setWeight = (W: Tensor): void => {
    node.setInput(1, node.graph.addConstant(weight.name, W));
  };

  return {
    node,
    output: parts.output,
    inputs: parts.inputs,
    outputs: parts.outputs,
    checkInput,
    absorbInput(scale, shift) {
      const blocked = checkInput(scale, shift);
      if (blocked) return blocked;
      const W = isAll(scale, 1) ? weight.tensor : scaled(scale, "in");
      if (!W) return overflow(node);
      if (!isAll(shift, 0)) parts.setBias(shiftedBias(shift));
      if (W !== weight.tensor) setWeight(W);
      return null;
    },
    absorbOutput(scale, shift) {
      const { bias } = parts;
      const keepsWeight = isAll(scale, 1);
      const isComputed = !keepsWeight && !weight.tensor;
      const blocked =
        (keepsWeight || isComputed ? null : checkWeight()) ??
        (typeof bias === "string" ? bias : null) ??
        (isAll(shift, 0) ? null : (parts.noBias ?? null));
      if (blocked) return blocked;
      if (!every(scale, Number.isFinite) || !every(shift, Number.isFinite)) return overflow(node);
      const W = keepsWeight || isComputed ? weight.tensor : scaled(scale, "out");
      if (!keepsWeight && !isComputed && !W) return overflow(node);
      const moved = Float64Array.from(
        { length: parts.outputs.count },
        (_, m) => at(bias as PerChannel, m) * at(scale, m) + at(shift, m),
      );
      if (isComputed) {
        const found = scaledForm(scale);
        if (typeof found === "string") return found;
        node.setInput(1, found);
      }
      if (bias !== 0 || !isAll(shift, 0)) parts.setBias(moved);
      if (W && W !== weight.tensor) setWeight(W);
      return null;
    },
  };
}

/** The axis of W along which its output channels lie; null where they are not one axis. */
function outputAxis({ layout, outputs }: Parts, { shape }: Value): number | null {
  const sizes = shape?.every((dim) => typeof dim === "number") ? (shape as number[]) : [];
  const axis = sizes.findIndex((size, i) => {
    const stride = product(sizes.slice(i + 1));
    return size === outputs.count && size > 1 && layout.out(stride) === 1;
  });
  return axis < 0 ? null : axis;
}

export const overflow = (node: Node): string => `a weight of ${node.name} would overflow`;

/** Gives the node a constant of its own at input `index`, with one number for each channel. */
export function setConstantInput(
  node: Node,
  index: number,
  values: PerChannel,
  shape: readonly number[],
  dtype = (node.inputs[index] ?? node.inputs[1])?.dtype ?? "float32",
): void {
  const name = node.inputs[index]?.name ?? `${node.name}/bias`;
  const count = product(shape);
  const numbers = Array.from({ length: count }, (_, c) => at(values, c));
  node.setInput(index, node.graph.addConstant(name, tensor(dtype, shape, numbers)));
}
