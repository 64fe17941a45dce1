/** @file Pools over windows that make maps smaller. */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { hasTrait } from "../ops/traits.ts";
import { padding, type Window, windowCount, windowOf } from "../ops/window.ts";

/** A pool of float32 maps [N, C, ...] of known sizes, which strides along some axis. */
export interface Pool {
  readonly node: Node;
  readonly window: Window;
  /** Sizes of the map that it reads, and of the one that it gives, along the spatial axes. */
  readonly sides: readonly number[];
  readonly output: readonly number[];
  readonly channels: number;
}

/** The pools of the main graph in order of execution. */
export function poolsOf({ graph }: Model): Pool[] {
  return graph.sorted().flatMap((node) => {
    const kernel = node.ints("kernel_shape");
    const isPool = kernel && hasTrait(node, "separate") && hasTrait(node, "homogeneous");
    const [, channels, ...sides] = node.inputs[0]?.shape ?? [];
    const isKnown = [channels, ...sides].every((size) => typeof size === "number");
    if (!isPool || !isKnown || node.output.dtype !== "float32" || node.outputs.length > 1)
      return [];
    const window = windowOf(node, kernel);
    if (window.strides.every((step) => step === 1)) return [];
    const known = sides as number[];
    const output = known.map((dim, axis) => windowCount(window, axis, dim));
    return [{ node, window, sides: known, output, channels: channels as number }];
  });
}

/** Whether every position belongs to exactly one window. */
export const tiles = ({ window, sides, output }: Pool): boolean =>
  sides.every((dim, axis) => {
    const [begin, end] = padding(window, axis, dim);
    const size = window.kernel[axis];
    return (
      begin === 0 &&
      end === 0 &&
      size === window.strides[axis] &&
      output[axis] * size === dim &&
      window.dilations[axis] === 1
    );
  });

/** The input of the pool that gives `y`, in the model or in a copy of it. */
export const pooledBy = (y: Value): Value => (y.producer as Node).inputs[0] as Value;
