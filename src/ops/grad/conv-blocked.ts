/**
 * @file Convolutions in the engine's blocked layout [N, C / block, ...sides, block].
 *
 * They are faster, but undocumented and tied to the processor. So they are used only in graphs that
 * live as long as a session, and only after their results were compared with plain ones; never in a
 * model that is saved.
 */
import type { Value } from "../../ir/graph.ts";
import type { Builder } from "../builder.ts";
import { type Geometry, isDepthwise, padsOf } from "./conv-geometry.ts";
import { product } from "./rule.ts";

/** The engine's domain of operators on blocked values. */
export const blockedDomain = "com.microsoft.nchwc";

/** Adds one such operator. Its output is declared with the shape of the plain layout. */
function blockedNode(
  g: Builder,
  op: string,
  inputs: readonly (Value | null)[],
  shape: readonly number[],
  attributes: Readonly<Record<string, unknown>> = {},
): Value {
  const [y] = g.many(op, inputs, { outputs: 1, domain: blockedDomain, attributes });
  y.dtype = inputs[0]?.dtype ?? null;
  y.shape = shape;
  return y;
}

/** Plain -> blocked. */
const toBlocks = (g: Builder, x: Value, shape: readonly number[]): Value =>
  blockedNode(g, "ReorderInput", [x], shape);

/** Blocked -> plain. */
const fromBlocks = (g: Builder, x: Value, shape: readonly number[]): Value =>
  blockedNode(g, "ReorderOutput", [x], shape, { channels: shape[1] });

/**
 * A weight for blocks of b channels: [M, C, kh, kw] -> [M / b, C / b, kh, kw, b of C, b of M],
 * declared with its old shape. Depthwise weights have no axes of C.
 */
function blockWeight(g: Builder, w: Value, geometry: Geometry, block: number): Value {
  const { filters, depth, kernel } = geometry;
  const shape = g.ints([filters, depth, ...kernel], "shape");
  if (isDepthwise(geometry)) {
    const split = g.Reshape(w, g.ints([filters / block, block, ...kernel], "shape"));
    return g.Reshape(g.Transpose(split, { perm: [0, 2, 3, 1] }), shape);
  }
  const sizes = [filters / block, block, depth / block, block, ...kernel];
  const split = g.Reshape(w, g.ints(sizes, "shape"));
  return g.Reshape(g.Transpose(split, { perm: [0, 2, 4, 5, 3, 1] }), shape);
}

/** Whether the layout fits: two spatial axes, known sizes, and whole blocks of channels. */
export function fitsBlocked(geometry: Geometry, block: number): boolean {
  const { batch, filters, depth, group, kernel } = geometry;
  if (batch === null || kernel.length !== 2 || filters % block !== 0) return false;
  return isDepthwise(geometry) || (group === 1 && depth % block === 0);
}

/**
 * A convolution in the blocked layout, with conversions around it: [N, C, ...sides] ->
 * [N, M, ...output].
 */
export function blockedConv(
  g: Builder,
  x: Value,
  w: Value,
  bias: Value | null,
  geometry: Geometry,
  block: number,
): Value {
  const { batch, filters, depth, group, kernel, strides, dilations, sides, output } = geometry;
  const image = toBlocks(g, x, [batch ?? 1, depth * group, ...sides]);
  const shape = [batch ?? 1, filters, ...output];
  const y = blockedNode(g, "Conv", [image, blockWeight(g, w, geometry, block), bias], shape, {
    kernel_shape: kernel,
    strides,
    dilations,
    group,
    pads: padsOf(geometry),
  });
  return fromBlocks(g, y, shape);
}

/** Whether `blockedWeight` fits: only for depthwise convolutions. */
export const fitsBlockedWeight = (geometry: Geometry, block: number): boolean =>
  isDepthwise(geometry) && fitsBlocked(geometry, block);

/**
 * dW of a depthwise convolution. Every sample's channel becomes a channel of its own, with dY as
 * its filter, so that one depthwise convolution gives dW per sample, which is then summed. A
 * blocked image has the same layout as a blocked depthwise filter.
 */
export function blockedWeight(g: Builder, x: Value, dy: Value, geometry: Geometry): Value {
  const { filters, kernel, strides, dilations, sides, output } = geometry;
  const batch = geometry.batch ?? 1;
  const channels = batch * filters;
  const [image, filter] = [
    toBlocks(g, x, [batch, filters, ...sides]),
    toBlocks(g, dy, [batch, filters, ...output]),
  ];
  const pads = padsOf(geometry);
  const taps = sides.map((side, axis) => {
    const room = side + pads[axis] + pads[axis + 2] - (output[axis] - 1) * strides[axis] - 1;
    return Math.floor(room / dilations[axis]) + 1;
  });
  const found = blockedNode(
    g,
    "Conv",
    [
      g.Reshape(image, g.ints([1, channels, ...sides], "shape")),
      g.Reshape(filter, g.ints([channels, 1, ...output], "shape")),
    ],
    [1, channels, ...taps],
    {
      kernel_shape: output,
      strides: dilations,
      dilations: strides,
      group: channels,
      pads,
    },
  );
  const plain = fromBlocks(g, found, [1, channels, ...taps]);
  const stops = g.ints(kernel, "stops");
  const cut = g.Slice(plain, g.ints([0, 0], "starts"), stops, g.ints([2, 3], "axes"));
  const perSample = g.Reshape(cut, g.ints([batch, filters, product(kernel)], "shape"));
  const sum = g.ReduceSum(perSample, g.ints([0], "axes"), { keepdims: 0 });
  return g.Reshape(sum, g.ints([filters, 1, ...kernel], "shape"));
}
