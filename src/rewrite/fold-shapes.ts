/**
 * @file Replaces sizes that follow from the model's shapes by constants, instead of chains of
 * Shape, Gather and Concat.
 */
import type { Dim, Node, Value } from "../ir/graph.ts";
import { tensor } from "../ir/tensor.ts";
import type { Builder } from "../ops/builder.ts";
import { knownOf, numbersOf } from "../ops/infer/known.ts";
import { defineRule, type Rewritten } from "./rule.ts";

/** Larger values are not computed: they are no sizes. */
const maxElements = 64;

export const foldShapes = defineRule({
  id: "fold-shapes",
  doc: "sizes known from the shapes -> constants; Reshape to sizes of which one is open -> Reshape to [.., -1, ..]",
  roots: "any",
  apply(node, g) {
    const { output } = node;
    if (node.subgraphs.length > 0 || node.inputs.length === 0) return null;
    if (node.op === "Reshape" || node.op === "Expand") {
      const shape = node.op === "Reshape" ? openReshape(node) : openExpand(node);
      if (!shape) return numbers(node, output, g);
      node.setInput(1, g.ints(shape, "shape"));
      return output;
    }
    return numbers(node, output, g);
  },
});

/** A constant in place of the output, if all its elements are known integers. */
function numbers(node: Node, output: Value, g: Builder): Rewritten {
  const { dtype, shape } = output;
  if ((dtype !== "int64" && dtype !== "int32") || !shape || node.outputs.length !== 1) return null;
  if (node.inputs.every((input) => !input || input.tensor)) return null;
  const known = knownOf(output, new Map());
  const elements = numbersOf(known);
  if (!known || !elements || elements.length > maxElements) return null;
  return g.constant(tensor(dtype, known.shape, elements));
}

/**
 * The sizes of a Reshape of which at most one is unknown: [N, T, 64] -> [0, -1, 64], where N is the
 * input's own first dimension and T is unknown.
 */
function openReshape(node: Node): readonly number[] | null {
  const [x, shape] = node.inputs;
  if (!shape || shape.tensor || node.int("allowzero", 0) !== 0) return null;
  const wanted = knownOf(shape, new Map())?.elements;
  if (!wanted || wanted.length === 0) return null;
  const sizes = wanted.map((dim, axis) =>
    typeof dim === "number" ? dim : isSame(dim, x?.shape?.[axis]) ? 0 : null,
  );
  const open = sizes.filter((size) => size === null || size === -1).length;
  return open <= 1 ? sizes.map((size) => size ?? -1) : null;
}

/** The sizes of an Expand: 1 for an axis that keeps the input's size. */
function openExpand(node: Node): readonly number[] | null {
  const [x, shape] = node.inputs;
  if (!x?.shape || !shape || shape.tensor) return null;
  const wanted = knownOf(shape, new Map())?.elements;
  if (!wanted) return null;
  const { length } = x.shape;
  const sizes = wanted.map((dim, i) => {
    const axis = i - wanted.length + length;
    return typeof dim === "number" ? dim : axis >= 0 && isSame(dim, x.shape?.[axis]) ? 1 : null;
  });
  return sizes.every((size) => size !== null) ? sizes : null;
}

const isSame = (a: Dim, b: Dim | undefined): boolean => a !== null && a === b;
