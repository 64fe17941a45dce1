/**
 * @file The gradient of a convolution's weight, in several forms of equal result.
 *
 * Which form is fastest depends on the sizes.
 */

import type { Value } from "../../ir/graph.ts";
import { tensor } from "../../ir/tensor.ts";
import type { Builder } from "../builder.ts";
import { blockedWeight, fitsBlockedWeight } from "./conv-blocked.ts";
import { endsOf, type Geometry, isDepthwise, padsOf } from "./conv-geometry.ts";
import { fitsWeave, weave } from "./conv-weave.ts";
import { product } from "./rule.ts";

/**
 * A form of dW[m, c, t] = sum_{n, p} dY[n, m, p] X[n, c, p, t]: for which sizes it
 * fits, and its nodes.
 */
interface Form {
  readonly fits: (geometry: Geometry) => boolean;
  readonly make: (g: Builder, x: Value, dy: Value, geometry: Geometry) => Value;
}

const always = (): boolean => true;

const weightShape = (g: Builder, { filters, depth, kernel }: Geometry): Value =>
  g.ints([filters, depth, ...kernel], "shape");

/**
 * [N, channels, ...] -> [N, group, channels / group, positions], without the axis of a single
 * group.
 */
function grouped(g: Builder, x: Value, group: number, channels: number): Value {
  const shape = group === 1 ? [0, channels, -1] : [0, group, channels / group, -1];
  return g.Reshape(x, g.ints(shape, "shape"));
}

/** The sum over the batch of dY X^T per group: [group, filters / group, columns]. */
function correlate(g: Builder, dy: Value, columns: Value, { group }: Geometry): Value {
  const perm = group === 1 ? [0, 2, 1] : [0, 1, 3, 2];
  const products = g.MatMul(dy, g.Transpose(columns, { perm }));
  return g.ReduceSum(products, g.ints([0], "axes"), { keepdims: 0 });
}

/** For each tap of the kernel, the elements of x (padded) that it meets: [N, C, ...output]. */
function taps(g: Builder, x: Value, geometry: Geometry): Value[] {
  const { kernel, strides, dilations, output, begins } = geometry;
  const ends = endsOf(geometry).map((end) => Math.max(end, 0));
  const isPadded = [...begins, ...ends].some((pad) => pad > 0);
  const padded = isPadded ? g.Pad(x, g.ints([0, 0, ...begins, 0, 0, ...ends], "pads")) : x;
  const axes = g.ints(
    kernel.map((_, axis) => axis + 2),
    "axes",
  );
  return Array.from({ length: product(kernel) }, (_, tap) => {
    const starts: number[] = [];
    for (let axis = kernel.length - 1, rest = tap; axis >= 0; axis--) {
      starts.unshift((rest % kernel[axis]) * dilations[axis]);
      rest = Math.floor(rest / kernel[axis]);
    }
    const stops = starts.map((at, axis) => at + (output[axis] - 1) * strides[axis] + 1);
    return g.Slice(padded, g.ints(starts), g.ints(stops), axes, g.ints(strides));
  });
}

/** One matrix product per tap of the kernel. */
const tap: Form = {
  fits: always,
  make(g, x, dy, geometry) {
    const { filters, depth, group, kernel } = geometry;
    if (product(kernel) === 1 && group === 1 && depth > filters) {
      // The taller factor first: 15 instead of 26 ms (384 -> 64, 28x28, batch 32).
      const [slice] = taps(g, x, geometry);
      const turned = correlate(
        g,
        grouped(g, slice, 1, depth),
        grouped(g, dy, 1, filters),
        geometry,
      );
      return g.Reshape(g.Transpose(turned, { perm: [1, 0] }), weightShape(g, geometry));
    }
    const rows = grouped(g, dy, group, filters);
    const last = g.ints([-1], "axes");
    const slices = taps(g, x, geometry).map((slice) => {
      const columns = grouped(g, slice, group, depth * group);
      return g.Unsqueeze(correlate(g, rows, columns, geometry), last);
    });
    const all = slices.length > 1 ? g.Concat(...slices, { axis: -1 }) : slices[0];
    return g.Reshape(all, weightShape(g, geometry));
  },
};

/** Depthwise: each channel of x is multiplied by its own dY and summed. */
const multiply: Form = {
  fits: isDepthwise,
  make(g, x, dy, geometry) {
    const rank = geometry.kernel.length;
    const spatial = g.ints(
      Array.from({ length: rank }, (_, axis) => axis + 2),
      "axes",
    );
    const sums = taps(g, x, geometry).map((slice) => {
      const planes = g.ReduceSum(g.Mul(slice, dy), spatial, { keepdims: 0 });
      return g.Unsqueeze(g.ReduceSum(planes, g.ints([0]), { keepdims: 0 }), g.ints([-1]));
    });
    const all = sums.length > 1 ? g.Concat(...sums, { axis: -1 }) : sums[0];
    return g.Reshape(all, weightShape(g, geometry));
  },
};

/**
 * A depthwise convolution with one-hot kernels lays all windows out; one matrix product follows.
 */
const unfold: Form = {
  fits: always,
  make(g, x, dy, geometry) {
    const { filters, depth, group, kernel, strides, dilations } = geometry;
    const [channels, size] = [depth * group, product(kernel)];
    const ones = new Float32Array(channels * size * size);
    for (let row = 0; row < channels * size; row++) ones[row * size + (row % size)] = 1;
    const hot = tensor(x.dtype ?? "float32", [channels * size, 1, ...kernel], Array.from(ones));
    const windows = g.Conv(x, g.constant(hot, { name: "unfold" }), {
      kernel_shape: kernel,
      strides,
      dilations,
      group: channels,
      pads: padsOf(geometry),
    });
    const columns = grouped(g, windows, group, channels * size);
    const sum = correlate(g, grouped(g, dy, group, filters), columns, geometry);
    return g.Reshape(sum, weightShape(g, geometry));
  },
};

/**
 * A convolution of x with dY as the kernel, in which batch and channels, strides and
 * dilations are swapped.
 */
const swap: Form = {
  fits: always,
  make(g, x, dy, geometry) {
    const { filters, depth, group, kernel, strides, dilations, sides } = geometry;
    const spatial = kernel.map((_, axis) => axis + 2);
    const split = g.Reshape(x, g.ints([0, group, depth, ...sides], "shape"));
    const perm = [2, 1, 0, ...spatial.map((axis) => axis + 1)];
    const images = g.Reshape(g.Transpose(split, { perm }), g.ints([depth, -1, ...sides], "shape"));
    const sum = g.Conv(images, g.Transpose(dy, { perm: [1, 0, ...spatial] }), {
      strides: dilations,
      dilations: strides,
      group,
      pads: padsOf(geometry),
    });
    // If windows do not reach the end of a side, the convolution has positions beyond the kernel.
    const [zeros, stops] = [kernel.map(() => 0), kernel];
    const cut = g.Slice(sum, g.ints(zeros), g.ints(stops), g.ints(spatial));
    return g.Reshape(
      g.Transpose(cut, { perm: [1, 0, ...spatial] }),
      g.ints([filters, depth, ...kernel]),
    );
  },
};

const woven: Form = { fits: fitsWeave, make: weave };
const blocked = (block: number): Form => ({
  fits: (geometry) => fitsBlockedWeight(geometry, block),
  make: blockedWeight,
});

/** All forms of dW, by the names that choices are saved under. */
export const weightForms = {
  tap,
  multiply,
  unfold,
  swap,
  weave: woven,
  blocked16: blocked(16),
  blocked8: blocked(8),
} as const satisfies Record<string, Form>;
export type WeightForm = keyof typeof weightForms;

/**
 * The form that is usually fastest, measured on ONNX Runtime 1.30, Zen 4, one thread. A wrong form
 * takes 2 to 45 times as long.
 */
export function defaultWeightForm(geometry: Geometry): WeightForm {
  const { depth, group, kernel, strides } = geometry;
  const isStrided = strides.some((stride) => stride > 1);
  if (product(kernel) === 1 && group === 1) return "tap";
  if (fitsWeave(geometry)) return "weave";
  // Here the batch is not known, or taps of the last axis are apart.
  if (isDepthwise(geometry)) return isStrided ? "swap" : "multiply";
  if (group > 1) return "unfold";
  if (Math.min(...kernel) >= 5 && depth <= 8) return "swap";
  return depth <= 4 || isStrided ? "unfold" : "tap";
}
