/** @file Oriented filters: every base filter in all orientations of a group. */
import type { Value } from "../../ir/graph.ts";
import type { Builder } from "../../ops/builder.ts";
import { defineForm, learns, type Shape } from "../form.ts";

/**
 * W [m G, n S, k, k] from base filters B [m, n, S, k, k]. G = 4: the quarter turns r^j (p4). G = 8:
 * these and their mirror images, element j + 4 f being r^j s^f (p4m). With T_g w(u) = w(g^-1 u),
 *   W[(o, g), (c, h)] = T_g B[o, c, g^-1 h]
 * so that turning the input turns the outputs and moves them on by one element of the group
 * (section 6). S = G if the layer's inputs have orientations; S = 1 if they have none, as in the
 * first layer of a group network and in every layer of a network of cyclic filters.
 */
export const oriented = defineForm({
  kind: "oriented",
  cite: "Cohen, Welling 2016, arXiv 1602.07576, section 6; Dieleman et al. 2016, arXiv 1602.02660",
  doc: "W = base filters, each in all orientations",
  theta: { base: learns({ channels: 0 }) },
  build(g, { base }, shape) {
    const [filters, , inner] = base.shape as Shape;
    const order = shape[0] / filters;
    if (order !== 4 && order !== 8) throw new Error(`no group of ${order} orientations`);
    if (inner !== 1 && inner !== order) throw new Error(`${inner} orientations read by ${order}`);
    const reversed = reversal(g, shape);
    const moves = inner > 1 ? g.ints(turned(order), "order") : null;
    /** A quarter turn of the last two axes, counterclockwise, and of the inner orientations. */
    const turn = (x: Value): Value => {
      const moved = moves ? g.Gather(x, moves, { axis: 2 }) : x;
      return g.Gather(g.Transpose(moved, { perm: [0, 1, 2, 4, 3] }), reversed, { axis: 3 });
    };
    /** The mirror image of the last axis, and of the inner orientations. */
    const mirror = (x: Value): Value => {
      const moved = inner > 1 ? g.Gather(x, g.ints(mirrored, "order"), { axis: 2 }) : x;
      return g.Gather(moved, reversed, { axis: 4 });
    };
    const parts = [base];
    for (let j = 1; j < order; j++) parts.push(j === 4 ? mirror(base) : turn(parts[j - 1]));
    return g.Reshape(g.Concat(...parts, { axis: 1 }), g.ints(shape, "shape"));
  },
  examples: [
    { shape: [8, 3, 3, 3], theta: { base: [2, 3, 1, 3, 3] } },
    { shape: [8, 8, 3, 3], theta: { base: [2, 2, 4, 3, 3] } },
    { shape: [16, 3, 3, 3], theta: { base: [2, 3, 1, 3, 3] } },
    { shape: [16, 16, 3, 3], theta: { base: [2, 2, 8, 3, 3] } },
  ],
});

/** r^-1 h for each element h: what part of the base moves to h in a quarter turn. */
const turned = (order: number): number[] =>
  Array.from({ length: order }, (_, h) => (h & 4) + ((h + 3) & 3));

/** s^-1 r^j s^f = r^-j s^(1 + f) for each element h = j + 4 f. */
const mirrored = Array.from({ length: 8 }, (_, h) => 4 - (h & 4) + (-h & 3));

/** The positions of the last axis from the end to the beginning. */
export function reversal(g: Builder, shape: Shape): Value {
  const size = shape.at(-1) as number;
  return g.ints(
    Array.from({ length: size }, (_, i) => size - 1 - i),
    "reversed",
  );
}
