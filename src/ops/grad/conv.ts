/** @file Gradients of convolutions, forward and transposed, in any number of dimensions. */
import type { Value } from "../../ir/graph.ts";
import type { Builder } from "../builder.ts";
import { padding, transposedAxis, windowOf } from "../window.ts";
import { endsOf, type Geometry, weightGradient } from "./conv-weight.ts";
import { type GradNode, type GradRules, product, rankOf, sizesOf, sumPerChannel } from "./rule.ts";

/** Sizes, padding resolved: begins, then ends such that the last window ends with the input. */
function geometryOf(node: GradNode): Geometry {
  const [x, w] = node.inputs;
  const [filters, depth, ...kernel] = sizesOf(w, node);
  const window = windowOf(node, kernel);
  const sides = sizesOf(x, node, 2);
  const pads = sides.map((dim, axis) => padding(window, axis, dim));
  const { strides, dilations } = window;
  return {
    filters,
    depth,
    kernel,
    strides,
    dilations,
    group: node.int("group", 1),
    sides,
    output: sizesOf(node.output, node, 2),
    begins: pads.map(([begin]) => begin),
  };
}

/** dX by the operator's adjoint; what no window reached is its output padding. */
export function transposeBack(g: Builder, dy: Value, w: Value, geometry: Geometry): Value {
  const { begins, strides, dilations, group, kernel } = geometry;
  const ends = endsOf(geometry);
  return g.ConvTranspose(dy, w, {
    kernel_shape: kernel,
    strides,
    dilations,
    group,
    pads: [...begins, ...ends.map((end) => Math.max(end, 0))],
    output_padding: ends.map((end) => Math.max(-end, 0)),
  });
}

/** dX at stride 1: dY convolved with the kernel turned around, inputs and filters swapped. */
function flipBack(g: Builder, dy: Value, w: Value, geometry: Geometry): Value {
  const { filters, depth, group, kernel, dilations, begins } = geometry;
  const axes = kernel.map((_, axis) => axis + 2);
  const all = (value: number): Value => g.ints(kernel.map(() => value));
  const flipped = g.Slice(w, all(-1), all(-(2 ** 62)), g.ints(axes), all(-1));
  const perGroup = filters / group;
  const split = g.Reshape(flipped, g.ints([group, perGroup, depth, ...kernel]));
  const swapped = g.Transpose(split, { perm: [0, 2, 1, ...axes.map((axis) => axis + 1)] });
  const turned = g.Reshape(swapped, g.ints([group * depth, perGroup, ...kernel]));
  const full = kernel.map((k, axis) => (k - 1) * dilations[axis]);
  const ends = endsOf(geometry);
  return g.Conv(dy, turned, {
    kernel_shape: kernel,
    dilations,
    group,
    pads: [...full.map((f, i) => f - begins[i]), ...full.map((f, i) => f - ends[i])],
  });
}

/**
 * Measured: flipping pays from 16 channels on, and where channels are grouped, unless the input is
 * larger than the output: its work goes with the input (5x5, 12x12 -> 8x8: flipped 20.0 ms,
 * transposed 8.0, forward 7.8).
 */
function inputGradient(g: Builder, dy: Value, w: Value, geometry: Geometry): Value {
  const { strides, depth, group, kernel, dilations, begins, sides, output } = geometry;
  const ends = endsOf(geometry);
  const fits = kernel.every((k, axis) => {
    const full = (k - 1) * dilations[axis];
    return strides[axis] === 1 && begins[axis] <= full && ends[axis] <= full;
  });
  const isFlat = product(sides) <= 1.25 * product(output);
  const pays = isFlat && (depth * group >= 16 || group > 1);
  return (fits && pays ? flipBack : transposeBack)(g, dy, w, geometry);
}

export const convolutions = {
  // y[m] = sum x * w[m] + b[m]
  Conv: (g, dy, node) => {
    const [x, w, b] = node.inputs;
    const geometry = geometryOf(node);
    return [
      inputGradient(g, dy, w, geometry),
      weightGradient(g, x, dy, geometry),
      b ? sumPerChannel(g, dy, rankOf(x, node)) : null,
    ];
  },
  // The adjoint of a convolution from y to x, with the same weight: roles change.
  ConvTranspose: (g, dy, node) => {
    const [x, w, b] = node.inputs;
    const [filters, depth, ...kernel] = sizesOf(w, node);
    const window = windowOf(node, kernel);
    const input = sizesOf(x, node, 2);
    const geometry: Geometry = {
      filters,
      depth,
      kernel,
      strides: window.strides,
      dilations: window.dilations,
      group: node.int("group", 1),
      sides: sizesOf(node.output, node, 2),
      output: input,
      begins: input.map((dim, axis) => transposedAxis(node, window, axis, dim).begin),
    };
    const { group, strides, dilations, begins } = geometry;
    // Output padding is what no window reaches: a convolution leaves it over by itself.
    const ends = endsOf(geometry).map((end) => Math.max(end, 0));
    const attributes = { kernel_shape: kernel, strides, dilations, group };
    return [
      g.Conv(dy, w, { ...attributes, pads: [...begins, ...ends] }),
      weightGradient(g, dy, x, geometry),
      b ? sumPerChannel(g, dy, rankOf(x, node)) : null,
    ];
  },
} satisfies GradRules;
