/** @file The inputs x that a layer's weight W is multiplied by in y = W x, as nodes. */
import type { Node, Value } from "../ir/graph.ts";
import { tensor } from "../ir/tensor.ts";
import type { Builder } from "../ops/builder.ts";
import { linearOf } from "../ops/linear.ts";
import type { WeightUse } from "../ops/weights.ts";
import type { Rows } from "./rows.ts";

/** Largest number of elements of unfolded windows per record; of more, a sample is taken. */
const WINDOWS = 2 ** 18;

/**
 * The inputs x of a layer as [groups, positions, columns], in the order of columns of `rowsOf`. `x`
 * is the value that the layer reads, `index` the input of its weight of shape `shape`.
 */
export function inputsOf(
  g: Builder,
  { node, index }: Pick<WeightUse, "node" | "index">,
  x: Value,
  rows: Rows,
  shape: readonly number[],
): Value {
  return linearOf(node)?.kind === "conv"
    ? windows(g, node, x, rows, shape)
    : factors(g, node, index, x, rows.columns);
}

/** The other factor of a product as [1, positions, columns]. */
function factors(g: Builder, node: Node, index: number, x: Value, columns: number): Value {
  const rank = x.shape?.length ?? 2;
  // W x multiplies W by the columns of x, and x W by its rows; either factor may
  // also be transposed.
  const isTurned = (linearOf(node)?.turned[1 - index] ?? false) === (index === 1);
  const perm = Array.from({ length: rank }, (_, i) => i);
  if (rank > 1) [perm[rank - 2], perm[rank - 1]] = [rank - 1, rank - 2];
  const upright = isTurned ? g.Transpose(x, { perm }) : x;
  return g.Reshape(upright, g.ints([1, -1, columns], "shape"));
}

/**
 * The windows of a convolution (im2col) as [groups, positions, columns]: a depthwise convolution
 * with one-hot kernels, one for each channel and tap, gives every tap as a channel of its own.
 */
function windows(
  g: Builder,
  node: Node,
  x: Value,
  { groups, columns }: Rows,
  [, depth, ...kernel]: readonly number[],
): Value {
  const taps = columns / depth;
  const channels = groups * depth;
  const hot = new Float32Array(channels * taps * taps);
  for (let row = 0; row < channels * taps; row++) hot[row * taps + (row % taps)] = 1;
  const unfold = g.graph.add(
    "Conv",
    [x, g.constant(tensor("float32", [channels * taps, 1, ...kernel], hot), { name: "unfold" })],
    { attributes: node.attributes },
  );
  unfold.set("group", { type: "int", value: channels });
  const factor = sampling(node, columns * groups);
  const strides = node.ints("strides") ?? kernel.map(() => 1);
  unfold.set("strides", { type: "ints", value: strides.map((stride) => stride * factor) });
  const split = g.Reshape(unfold.output, g.ints([0, groups, depth, taps, -1], "shape"));
  const turned = g.Transpose(split, { perm: [1, 0, 4, 3, 2] });
  return g.Reshape(turned, g.ints([groups, -1, columns], "shape"));
}

/**
 * The factor by which strides are multiplied so that one record's windows have at most WINDOWS
 * elements; 1 where sizes are not known. `columns` counts all groups.
 */
export function sampling(node: Node, columns: number): number {
  const sides = (node.output.shape ?? []).slice(2);
  const isFixed = (node.text("auto_pad") ?? "NOTSET") === "NOTSET";
  if (!isFixed || !sides.every((side) => typeof side === "number")) return 1;
  const elements = (sides as number[]).reduce((a, b) => a * b, columns);
  return Math.ceil(Math.sqrt(Math.max(1, elements / WINDOWS)));
}
