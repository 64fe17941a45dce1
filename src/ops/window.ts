/** @file Sliding windows of convolutions and pools: padding and sizes along each axis. */
import type { Node } from "../ir/graph.ts";

/** The attributes of a window, with one entry per spatial axis. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly autoPad: string;
  /** Begins, then ends; zeros if auto_pad decides. */
  readonly pads: readonly number[];
  /** Whether the number of positions is rounded up (ceil_mode of pools). */
  readonly isCeil: boolean;
}

/**
 * The window of a node. `kernel` is the spatial shape of a convolution's weight, or a
 * pool's kernel_shape.
 */
export function windowOf(node: Node, kernel: readonly number[]): Window {
  const rank = kernel.length;
  const autoPad = node.text("auto_pad", "NOTSET");
  const ones = new Array<number>(rank).fill(1);
  const zeros = new Array<number>(2 * rank).fill(0);
  return {
    kernel,
    strides: node.ints("strides") ?? ones,
    dilations: node.ints("dilations") ?? ones,
    autoPad,
    pads: autoPad === "NOTSET" ? (node.ints("pads") ?? zeros) : zeros,
    isCeil: node.int("ceil_mode", 0) === 1,
  };
}

/** How many positions the dilated kernel covers along an axis: (k - 1) d + 1. */
export function extentOf({ kernel, dilations }: Window, axis: number): number {
  return (kernel[axis] - 1) * dilations[axis] + 1;
}

/**
 * The padding [begin, end] along an axis of `dim` inputs; SAME is resolved so that the output has
 * ceil(dim / stride) positions.
 */
export function padding(window: Window, axis: number, dim: number): [number, number] {
  const { pads, strides, autoPad, kernel } = window;
  if (!autoPad.startsWith("SAME")) return [pads[axis], pads[axis + kernel.length]];
  const stride = strides[axis];
  const total = Math.max(0, (Math.ceil(dim / stride) - 1) * stride + extentOf(window, axis) - dim);
  const small = Math.floor(total / 2);
  return autoPad === "SAME_UPPER" ? [small, total - small] : [total - small, small];
}

/**
 * The number of window positions along an axis: floor or ceil of (dim + padding -
 * extent) / stride, plus 1.
 */
export function windowCount(window: Window, axis: number, dim: number): number {
  const stride = window.strides[axis];
  if (window.autoPad.startsWith("SAME")) return Math.ceil(dim / stride);
  const [begin, end] = padding(window, axis, dim);
  const steps = (dim + begin + end - extentOf(window, axis)) / stride;
  if (!window.isCeil) return Math.floor(steps) + 1;
  // A last window that would start in the padding behind the input is left out.
  const count = Math.ceil(steps) + 1;
  return (count - 1) * stride >= dim + begin ? count - 1 : count;
}

/**
 * A transposed convolution along an axis of `dim` inputs: the output's size, and how much padding
 * is cut off in front. The full size is stride (dim - 1) + output_padding + extent.
 */
export function transposedAxis(
  node: Node,
  window: Window,
  axis: number,
  dim: number,
): { size: number; begin: number } {
  const rank = window.kernel.length;
  const stride = window.strides[axis];
  const extra = node.ints("output_padding")?.[axis] ?? 0;
  const full = stride * (dim - 1) + extra + extentOf(window, axis);
  const wanted = node.ints("output_shape")?.slice(-rank)[axis];
  const isSame = window.autoPad.startsWith("SAME");
  if (wanted === undefined && !isSame) {
    const [begin, end] = [window.pads[axis], window.pads[axis + rank]];
    return { size: full - begin - end, begin };
  }
  const size = wanted ?? dim * stride;
  const total = Math.max(0, full - size);
  const small = Math.floor(total / 2);
  return { size, begin: window.autoPad === "SAME_UPPER" ? small : total - small };
}
