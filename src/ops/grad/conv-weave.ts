/** @file The gradient of a convolution's weight as one convolution of interleaved channels. */
import type { Value } from "../../ir/graph.ts";
import type { Builder } from "../builder.ts";
import { endsOf, type Geometry, isDepthwise, padsOf } from "./conv-geometry.ts";
import { product } from "./rule.ts";

/**
 * Positions that one filter should have at least; the engine's matrix product is
 * slow on shorter sums.
 */
const enough = 256;
/**
 * How many depthwise channels are computed together. Only the diagonal of their products is used.
 */
const together = [8, 4, 2];

/**
 * Whether the form fits: known batch, at most three spatial axes, and no dilation
 * along the last one.
 */
export function fitsWeave({ batch, kernel, dilations }: Geometry): boolean {
  // Taps of the last axis have to lie `width` apart, and the engine has kernels for up to three
  // axes.
  return batch !== null && kernel.length <= 3 && (dilations.at(-1) === 1 || kernel.at(-1) === 1);
}

/**
 * How many samples share a filter, whose products the convolution then sums: as many as give
 * `enough` positions and keep the partial sums smaller than x. Groups leave no axis for this.
 */
function chunkOf(geometry: Geometry, batch: number): number {
  const { group, filters, kernel, sides, output } = geometry;
  const partial = filters * product(kernel);
  const isSmall = (chunk: number): boolean =>
    chunk * product(output) < enough || partial > chunk * product(sides);
  let chunk = 1;
  while (group === 1 && batch % (2 * chunk) === 0 && isSmall(chunk)) chunk *= 2;
  return chunk;
}

/**
 * dW[m, c, t] = sum_{n, p} dY[n, m, p] X[n, c, s p + t] is a convolution of each image X[n] with
 * the filters dY[n, m].
 *
 * A convolution sums over its input channels, so the channels c of x must not be input channels.
 * They are interleaved into the last axis, X'[n, h, width w + c], where a filter dilated by
 * `width` meets one channel at a time. The taps and channels of the result lie side by side in
 * rows, dW[n, m, t, c].
 *
 * All copies are of whole rows, and the product is as large as that of the forward pass: 12.3 ms
 * where one product per tap takes 27.3 (3x3, 16 -> 16, 32x32, batch 128, 1 thread).
 */
export function weave(g: Builder, x: Value, dy: Value, geometry: Geometry): Value {
  const { filters, kernel, strides, dilations, sides, output } = geometry;
  const batch = geometry.batch ?? 1;
  const deep = isDepthwise(geometry);
  const block = deep ? (together.find((n) => filters % n === 0) ?? 1) : 1;
  const groups = geometry.group / block;
  const [width, rows] = [geometry.depth * block, filters / groups];
  const [size, positions] = [product(kernel), product(output)];
  const chunk = chunkOf(geometry, batch);
  const parts = (batch / chunk) * groups;

  const planes = g.Reshape(x, g.ints([batch * groups, width, product(sides)], "shape"));
  const woven = width === 1 ? planes : g.Transpose(planes, { perm: [0, 2, 1] });
  const last = sides.length - 1;
  const wide = (list: readonly number[]): number[] =>
    list.map((n, i) => (i % sides.length === last ? n * width : n));
  const image = g.Reshape(woven, g.ints([1, batch * groups, ...wide(sides)], "shape"));
  const samples = g.Reshape(dy, g.ints([batch / chunk, chunk, rows * groups, positions], "shape"));
  const shared = chunk === 1 ? dy : g.Transpose(samples, { perm: [0, 2, 1, 3] });
  const found = g.Conv(
    image,
    g.Reshape(shared, g.ints([parts * rows, chunk, ...output], "shape")),
    {
      kernel_shape: output,
      group: parts,
      strides: dilations.with(last, 1),
      dilations: wide(strides),
      pads: wide(padsOf(geometry)),
    },
  );
  // If windows do not reach the end of a side, the convolution has positions beyond the kernel.
  const axes = kernel.map((_, axis) => axis + 2);
  const exceeds = endsOf(geometry).some((end) => end < 0);
  const cut = exceeds
    ? g.Slice(found, g.ints(kernel.map(() => 0)), g.ints(wide(kernel)), g.ints(axes))
    : found;
  const perSample = g.Reshape(cut, g.ints([-1, groups, rows, size, width], "shape"));
  const sum = g.ReduceSum(perSample, g.ints([0], "axes"), { keepdims: 0 });
  const shape = g.ints([filters, geometry.depth, ...kernel], "shape");
  if (!deep) return g.Reshape(g.Transpose(sum, { perm: [0, 1, 3, 2] }), shape);
  const ones = Array.from({ length: block * block }, (_, i) =>
    Math.floor(i / block) === i % block ? 1 : 0,
  );
  const dtype = x.dtype ?? "float32";
  const diagonal = g.constant(ones, { dtype, shape: [block, 1, block], name: "diagonal" });
  const own = g.ReduceSum(g.Mul(sum, diagonal), g.ints([3], "axes"), { keepdims: 0 });
  return g.Reshape(own, shape);
}
