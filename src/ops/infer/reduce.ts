/** @file Shapes of reductions. */
import type { OpName } from "../schema.ts";
import { axisOf, type InferRule, type InferRules, ofInput, type Shape, unknown } from "./dims.ts";
import { numbersOf } from "./known.ts";

function reduced(shape: Shape, axes: readonly number[], keeps: boolean): Shape {
  const gone = axes.map((axis) => axisOf(axis, shape.length));
  return keeps
    ? shape.map((dim, axis) => (gone.includes(axis) ? 1 : dim))
    : shape.filter((_, axis) => !gone.includes(axis));
}

/** No axes, or an empty list of them, reduce all axes, unless noop_with_empty_axes is set. */
const reduce: InferRule = ofInput((shape, node, { known }) => {
  const keeps = node.int("keepdims", 1) === 1;
  const axes = node.inputs[1] ? numbersOf(known(1)) : [];
  if (!axes) return keeps ? unknown(shape.length) : null;
  if (axes.length > 0) return reduced(shape, axes, keeps);
  return node.int("noop_with_empty_axes", 0) ? shape : reduced(shape, [...shape.keys()], keeps);
});

const argument: InferRule = ofInput((shape, node) =>
  reduced(shape, [node.int("axis", 0)], node.int("keepdims", 1) === 1),
);

const reductions = [
  "ReduceL1",
  "ReduceL2",
  "ReduceLogSum",
  "ReduceLogSumExp",
  "ReduceMax",
  "ReduceMean",
  "ReduceMin",
  "ReduceProd",
  "ReduceSum",
  "ReduceSumSquare",
] as const satisfies readonly OpName[];

export const inferReduce: InferRules = {
  ...Object.fromEntries(reductions.map((op) => [op, reduce])),
  ArgMax: argument,
  ArgMin: argument,
};
