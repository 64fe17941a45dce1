/** @file Gradient of Resize: it is a matrix along each axis, whose transpose is applied to dy. */
import type { Attribute } from "../../ir/attribute.ts";
import { Graph, type Value } from "../../ir/graph.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { type Builder, build } from "../builder.ts";
import { constantValue } from "../constant.ts";
import { evaluateGraph } from "../evaluate.ts";
import { axisOf, type GradNode, type GradRules, sizesOf, unsupported } from "./rule.ts";

/** That matrix [before, after], from what the reference evaluator makes of each unit vector. */
function matrixOf(node: GradNode, before: number, after: number, scale: number | null): Tensor {
  const graph = new Graph("axis");
  const g = build(graph);
  const eye = Array.from({ length: before ** 2 }, (_, i) => (i % (before + 1) === 0 ? 1 : 0));
  const x = g.constant(eye, { dtype: "float64", shape: [before, before] });
  const how = scale === null ? null : g.constant([1, scale]);
  const y = g.Resize(x, null, how, how ? null : g.ints([before, after]));
  const { axes: _, ...attributes } = node.attributes as Record<string, Attribute>;
  if (y.producer) y.producer.attributes = attributes;
  graph.setOutputs([y]);
  return Object.values(evaluateGraph(graph, {}))[0];
}

/** dy times the transposed matrix along one axis. */
function applyBack(g: Builder, dy: Value, matrix: Tensor, axis: number, rank: number): Value {
  const [before, after] = matrix.shape;
  const options = { dtype: dy.dtype ?? ("float32" as const), name: "resize" };
  if (axis === rank - 1 && rank > 1) {
    const values = Array.from(matrix.numbers());
    const back = Array.from(
      values,
      (_, i) => values[(i % before) * after + Math.floor(i / before)],
    );
    return g.MatMul(dy, g.constant(back, { ...options, shape: [after, before] }));
  }
  const weight = g.constant(Array.from(matrix.numbers()), { ...options, shape: matrix.shape });
  if (axis === rank - 2) return g.MatMul(weight, dy);
  const perm = Array.from({ length: rank }, (_, i) => i);
  [perm[axis], perm[rank - 2]] = [rank - 2, axis];
  return g.Transpose(g.MatMul(weight, g.Transpose(dy, { perm })), { perm });
}

export const resizes = {
  Resize: (g, dy, node) => {
    const [x, , scales] = node.inputs;
    const rank = x.shape?.length ?? 0;
    if (rank < 2) throw unsupported(node, "less than two axes");
    if (node.text("coordinate_transformation_mode", "").startsWith("tf_crop")) {
      throw unsupported(node, "a region of interest");
    }
    if (node.text("keep_aspect_ratio_policy", "stretch") !== "stretch") {
      throw unsupported(node, "a kept aspect ratio");
    }
    const given = scales ? constantValue(scales) : null;
    const factors = given && given.size > 0 ? given.numbers() : null;
    if (scales && !factors && scales.shape?.[0] !== 0) throw unsupported(node, "computed scales");
    const axes =
      node.ints("axes")?.map((axis) => axisOf(axis, rank)) ??
      Array.from({ length: rank }, (_, i) => i);
    let back = dy;
    for (const [i, axis] of axes.entries()) {
      const factor = factors?.[i] ?? null;
      const [from, to] = [x, node.output].map(({ shape }) => shape?.[axis] ?? null);
      // The size may stay the same while the scale moves elements.
      if (factor === null ? from !== null && from === to : factor === 1) continue;
      const [before, after] = [x, node.output].map((value) => sizesOf(value, node, axis)[0]);
      back = applyBack(g, back, matrixOf(node, before, after, factor), axis, rank);
    }
    return [back, null, null, null];
  },
} satisfies GradRules;
