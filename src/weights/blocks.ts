/** @file Forms of square blocks: how many there are, and the matrix that they make. */
import type { Value } from "../ir/graph.ts";
import type { Builder } from "../ops/builder.ts";
import { product } from "../util/product.ts";
import type { Shape } from "./form.ts";

/**
 * W of `shape`, as a matrix [m, n] of its first axis by all others, from blocks [p q, b, b], row by row of
 * blocks, with p = ceil(m / b) and q = ceil(n / b). What stands over m or n is cut off.
 */
export function fromBlocks(g: Builder, blocks: Value, size: number, shape: Shape): Value {
  const [m, ...others] = shape;
  const n = product(others);
  const [down, across] = [Math.ceil(m / size), Math.ceil(n / size)];
  const square = g.Reshape(blocks, g.ints([down, across, size, size], "blocks"));
  const whole = g.Reshape(
    g.Transpose(square, { perm: [0, 2, 1, 3] }),
    g.ints([down * size, across * size], "whole"),
  );
  const cut = g.Slice(whole, g.ints([0, 0], "starts"), g.ints([m, n], "ends"));
  return g.Reshape(cut, g.ints(shape, "shape"));
}
