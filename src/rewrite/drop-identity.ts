/** @file Replaces nodes that return their input unchanged by that input. */

import { dtypes } from "../ir/dtype.ts";
import type { Node, Value } from "../ir/graph.ts";
import { isOp } from "../ops/table.ts";
import { broadcastScalarOf, intsOf, sameShape, scalarOf } from "./constants.ts";
import { defineRule } from "./rule.ts";

/** By operator: the input that the output equals, or null. */
const identities: Readonly<Record<string, (node: Node) => Value | null>> = {
  Identity: first,
  Dropout: (node) =>
    node.outputs.slice(1).some((mask) => mask.uses.size > 0) || isTraining(node.inputs[2])
      ? null
      : first(node),
  Cast: (node) => {
    const dtype = first(node)?.dtype;
    return dtype && dtypes[dtype].code === node.int("to") ? first(node) : null;
  },
  Transpose: (node) => when(node, node.ints("perm")?.every((axis, i) => axis === i) ?? false),
  Reshape: (node) => when(node, sameShape(first(node)?.shape ?? null, node.output.shape)),
  Flatten: (node) => when(node, sameShape(first(node)?.shape ?? null, node.output.shape)),
  Expand: (node) =>
    when(
      node,
      (intsOf(node.inputs[1])?.every((dim) => dim === 1) &&
        (node.inputs[1]?.tensor?.size ?? 0) <= (first(node)?.shape?.length ?? -1)) ||
        sameShape(first(node)?.shape ?? null, node.output.shape),
    ),
  Squeeze: (node) => when(node, intsOf(node.inputs[1])?.length === 0),
  Unsqueeze: (node) => when(node, intsOf(node.inputs[1])?.length === 0),
  Tile: (node) => when(node, intsOf(node.inputs[1])?.every((count) => count === 1) ?? false),
  Pad: (node) => when(node, intsOf(node.inputs[1])?.every((pad) => pad === 0) ?? false),
  Slice: (node) => when(node, takesAll(node)),
  Concat: (node) => when(node, node.inputs.length === 1),
  Sum: (node) => when(node, node.inputs.length === 1),
  Mean: (node) => when(node, node.inputs.length === 1),
  Max: (node) => when(node, node.inputs.length === 1),
  Min: (node) => when(node, node.inputs.length === 1),
  Relu: (node) => when(node, isOp(first(node)?.producer, "Relu")),
  Mul: (node) => neutral(node, 1, true),
  Div: (node) => neutral(node, 1, false),
  Add: (node) => neutral(node, 0, true),
  Sub: (node) => neutral(node, 0, false),
  Pow: (node) => neutral(node, 1, false),
  Clip: (node) => when(node, !node.inputs[1] && !node.inputs[2]),
};

export const dropIdentity = defineRule({
  id: "drop-identity",
  doc: "Identity, inference Dropout, x * 1, x + 0, Relu(Relu(x)), and reshapes, casts, pads, slices without effect -> x",
  roots: Object.keys(identities),
  apply: (node) => identities[node.op](node),
});

function first(node: Node): Value | null {
  return node.inputs[0] ?? null;
}

/** The first input if the condition holds. */
function when(node: Node, holds: boolean): Value | null {
  return holds ? first(node) : null;
}

/**
 * An operation with its neutral element (x * 1 and the like), also for integers. That x + 0 turns
 * -0 into 0 is ignored.
 */
function neutral(node: Node, element: number, commutes: boolean): Value | null {
  const [a, b] = node.inputs;
  if (!a || !b) return null;
  if (broadcastScalarOf(b, a) === element && keepsDType(node, a)) return a;
  return commutes && broadcastScalarOf(a, b) === element ? b : null;
}

/** Whether the result has the type of x. Only Pow can have another type: that of its base. */
function keepsDType(node: Node, x: Value): boolean {
  return (
    node.op !== "Pow" ||
    x.dtype === null ||
    node.output.dtype === null ||
    x.dtype === node.output.dtype
  );
}

/** Whether Dropout's training mode is on or not known. */
function isTraining(mode: Value | null | undefined): boolean {
  return mode ? scalarOf(mode) !== 0 : false;
}

/** Whether a Slice takes all elements: from 0 to the end in steps of 1 on each of its axes. */
function takesAll(node: Node): boolean {
  const [data, starts, ends, axes, steps] = node.inputs;
  const from = intsOf(starts);
  const to = intsOf(ends);
  const by = steps ? intsOf(steps) : from?.map(() => 1);
  const along = axes ? intsOf(axes) : from?.map((_, i) => i);
  if (!from || !to || !by || !along) return false;
  return from.every((start, i) => {
    const size = data?.shape?.at(along[i]);
    const isEnd = to[i] >= 2 ** 31 - 1 || (typeof size === "number" && to[i] >= size);
    return start === 0 && by[i] === 1 && isEnd;
  });
}
