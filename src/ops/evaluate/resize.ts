/** @file Evaluation of Resize: nearest, linear and cubic interpolation along any axes. */
import type { Node } from "../../ir/graph.ts";
import { type Tensor, tensor } from "../../ir/tensor.ts";
import {
  axisOf,
  type EvaluateRule,
  type EvaluateRules,
  list,
  optional,
  product,
  type Shape,
  stridesOf,
} from "./elements.ts";
import { roundEven } from "./elementwise.ts";
import { spend } from "./work.ts";

/** The input positions, with weights, from which one output position is computed. */
type Taps = readonly { readonly at: number; readonly weight: number }[];

/** How one axis is resized. */
interface Axis {
  readonly input: number;
  readonly output: number;
  readonly scale: number;
  /** The region of interest, normalized; only tf_crop_and_resize uses it. */
  readonly roi: readonly [number, number];
}

/**
 * The position in the input to which output position `i` corresponds, in the given coordinate mode.
 * It may lie outside the input.
 */
function source(i: number, { input, output, scale, roi }: Axis, mode: string): number {
  switch (mode) {
    case "align_corners":
      return output === 1 ? 0 : (i * (input - 1)) / (output - 1);
    case "asymmetric":
      return i / scale;
    case "pytorch_half_pixel":
      return output === 1 ? 0 : (i + 0.5) / scale - 0.5;
    case "tf_half_pixel_for_nn":
      return (i + 0.5) / scale;
    case "half_pixel_symmetric": {
      // A fractional scale cuts off a part of the output, which is split between both ends.
      const adjustment = output / (scale * input);
      return (input / 2) * (1 - adjustment) + (i + 0.5) / scale - 0.5;
    }
    case "tf_crop_and_resize": {
      const [start, end] = roi;
      if (output === 1) return 0.5 * (start + end) * (input - 1);
      return start * (input - 1) + (i * (end - start) * (input - 1)) / (output - 1);
    }
    default:
      return (i + 0.5) / scale - 0.5;
  }
}

function nearest(x: number, mode: string): number {
  switch (mode) {
    case "floor":
      return Math.floor(x);
    case "ceil":
      return Math.ceil(x);
    case "round_prefer_ceil":
      return Math.floor(x + 0.5);
    default:
      return Math.ceil(x - 0.5);
  }
}

/** The weight of an element at a distance, by cubic convolution with parameter a (Keys 1981). */
function cubic(distance: number, a: number): number {
  const d = Math.abs(distance);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((d - 5) * d + 8) * d * a - 4 * a : 0;
}

/**
 * The taps around position x of the input. With antialiasing the kernel is stretched by the factor
 * by which the axis shrinks.
 */
function tapsOf(x: number, axis: Axis, node: Node): Taps {
  const mode = node.text("mode", "nearest");
  const clamp = (at: number): number => Math.min(Math.max(at, 0), axis.input - 1);
  if (mode === "nearest") {
    const at = nearest(x, node.text("nearest_mode", "round_prefer_floor"));
    return [{ at: clamp(at), weight: 1 }];
  }
  const a = node.float("cubic_coeff_a", -0.75);
  const isCubic = mode === "cubic";
  const kernel = isCubic ? (d: number) => cubic(d, a) : (d: number) => Math.max(0, 1 - Math.abs(d));
  const stretch = node.int("antialias", 0) === 1 ? Math.max(1, 1 / axis.scale) : 1;
  const reach = (isCubic ? 2 : 1) * stretch;
  const excludes = node.int("exclude_outside", 0) === 1;
  const taps: { at: number; weight: number }[] = [];
  let total = 0;
  spend(2 * reach);
  for (let at = Math.ceil(x - reach); at <= Math.floor(x + reach); at++) {
    const weight = kernel((at - x) / stretch);
    const isOutside = at < 0 || at >= axis.input;
    if (weight === 0 || (isOutside && excludes)) continue;
    taps.push({ at: clamp(at), weight });
    total += weight;
  }
  // After some taps were left out or stretched, weights are scaled to sum to 1 again.
  return excludes || stretch > 1
    ? taps.map(({ at, weight }) => ({ at, weight: weight / total }))
    : taps;
}

/** Sizes and scales of all axes, from the scales or sizes that are given for some of them. */
function axesOf(inputs: readonly Tensor[], node: Node): Axis[] {
  const { shape } = inputs[0];
  const rank = shape.length;
  const chosen = (node.ints("axes") ?? [...shape.keys()]).map((axis) => axisOf(axis, rank));
  const [roi, scales, sizes] = [1, 2, 3].map((i) => optional(inputs, i));
  const result: Axis[] = shape.map((dim) => ({ input: dim, output: dim, scale: 1, roi: [0, 1] }));
  const regions = roi && roi.size > 0 ? roi.numbers() : null;
  const wanted = sizes && sizes.size > 0 ? list(sizes) : null;
  const policy = node.text("keep_aspect_ratio_policy", "stretch");
  const ratios = wanted?.map((size, i) => size / shape[chosen[i]]) ?? [];
  const ratio = policy === "not_larger" ? Math.min(...ratios) : Math.max(...ratios);
  for (const [i, axis] of chosen.entries()) {
    const input = shape[axis];
    const given = scales && scales.size > 0 ? scales.numbers()[i] : 1;
    const scale = !wanted ? given : policy === "stretch" ? wanted[i] / input : ratio;
    const output = !wanted
      ? Math.floor(input * given)
      : policy === "stretch"
        ? wanted[i]
        : Math.floor(input * ratio + 0.5);
    result[axis] = {
      input,
      output,
      scale,
      roi: regions ? [regions[i], regions[chosen.length + i]] : [0, 1],
    };
  }
  return result;
}

/** Interpolates one axis after the other, because the kernels are products over axes. */
const resize: EvaluateRule = (inputs, node) => {
  const [x] = inputs;
  const axes = axesOf(inputs, node);
  const mode = node.text("coordinate_transformation_mode", "half_pixel");
  const fill = node.float("extrapolation_value", 0);
  let values: ArrayLike<number> = x.numbers();
  let shape: Shape = x.shape;
  const outside: boolean[][] = [];
  product(axes.map(({ output }) => output));
  for (const [k, axis] of axes.entries()) {
    const at = Array.from({ length: axis.output }, (_, i) => source(i, axis, mode));
    const isCrop = mode === "tf_crop_and_resize";
    outside.push(at.map((p) => isCrop && (p < 0 || p > axis.input - 1)));
    if (axis.output === axis.input && at.every((p, i) => p === i)) continue;
    const taps = at.map((p) => tapsOf(p, axis, node));
    [values, shape] = resizeAxis(values, shape, k, taps);
  }
  const strides = stridesOf(shape);
  const results = Float64Array.from({ length: product(shape) }, (_, flat) => {
    const isOutside = outside.some(
      (row, axis) => row[Math.floor(flat / strides[axis]) % shape[axis]],
    );
    return isOutside ? fill : values[flat];
  });
  const isInteger = !x.dtype.includes("float");
  return tensor(x.dtype, shape, isInteger ? results.map(roundEven) : results);
};

/** Applies the taps along one axis. */
function resizeAxis(
  values: ArrayLike<number>,
  shape: Shape,
  axis: number,
  taps: readonly Taps[],
): [Float64Array, number[]] {
  const to = shape.with(axis, taps.length);
  const inner = product(shape.slice(axis + 1));
  const results = new Float64Array(product(to));
  spend((results.length / taps.length) * taps.reduce((sum, { length }) => sum + length, 0));
  for (let flat = 0; flat < results.length; flat++) {
    const rest = flat % inner;
    const i = Math.floor(flat / inner) % taps.length;
    const outer = Math.floor(flat / (inner * taps.length));
    for (const { at, weight } of taps[i]) {
      results[flat] += weight * values[(outer * shape[axis] + at) * inner + rest];
    }
  }
  return [results, to];
}

export const resizes = { Resize: resize } satisfies EvaluateRules;
