/** @file Coupling of elementwise operators, and of those that need some axes whole. */
import type { Node } from "../../ir/graph.ts";
import { activations } from "../evaluate/activation.ts";
import { elementwise } from "../evaluate/elementwise.ts";
import { type CouplingRule, type CouplingRules, mod, type Ties } from "./rule.ts";

/** Ties the axes of inputs and output by NumPy's broadcasting, aligned from the last axis. */
function broadcast(t: Ties, node: Node, inputs: Iterable<number>, output = 0): void {
  const rank = node.outputs[output].shape?.length ?? 0;
  for (const i of inputs) {
    for (let axis = 1; axis <= Math.min(t.rank(i), rank); axis++) {
      t.meet(t.in(i, -axis), t.out(output, rank - axis));
    }
  }
}

/** y = f(a, b, ...) element by element: index i of an axis goes together in all operands. */
const aligned: CouplingRule = {
  tie(node, t) {
    for (const output of node.outputs.keys()) broadcast(t, node, node.inputs.keys(), output);
  },
};

/** All axes pass from input to output, except those that `axes` returns, which are pinned. */
const along = (
  why: string,
  axes: (node: Node, rank: number) => readonly number[],
): CouplingRule => ({
  tie(node, t) {
    const rank = t.rank(0);
    const needed = axes(node, rank).map((axis) => mod(axis, rank));
    for (const axis of needed) t.pin(t.in(0, axis), why);
    for (const output of node.outputs.keys()) {
      for (let axis = 0; axis < rank; axis++) {
        if (!needed.includes(axis)) t.same(t.in(0, axis), t.out(output, axis));
      }
    }
  },
});

const axisOr =
  (fallback: number) =>
  (node: Node): readonly number[] => [node.int("axis", fallback)];

const softmax = along("normalizes over it", axisOr(-1));

/**
 * QuantizeLinear and DequantizeLinear: scale and zero point are scalars, or vectors along `axis`.
 * Blocks along an axis pin it.
 */
const quantized: CouplingRule = {
  tie(node, t) {
    for (let axis = 0; axis < t.rank(0); axis++) t.same(t.in(0, axis), t.out(0, axis));
    if (node.int("block_size", 0) > 0)
      return t.pin(t.in(0, node.int("axis", 1)), "scales blocks of it");
    for (const i of [1, 2]) if (t.rank(i) === 1) t.meet(t.in(i, 0), t.in(0, node.int("axis", 1)));
  },
};

export const couplingElementwise: CouplingRules = {
  ...Object.fromEntries(
    [...Object.keys(elementwise), ...Object.keys(activations)].map((op) => [op, aligned]),
  ),
  Cast: aligned,
  CastLike: along("has another type", () => []),
  CumSum: along("adds up along it", () => []),
  DequantizeLinear: quantized,
  Dropout: along("", () => []),
  Hardmax: softmax,
  Identity: aligned,
  LogSoftmax: softmax,
  LRN: along("normalizes over it", () => [1]),
  LpNormalization: softmax,
  QuantizeLinear: quantized,
  Softmax: softmax,
  Trilu: along("cuts a triangle out of it", () => [-1, -2]),
};
