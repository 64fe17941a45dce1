/** @file A constant added to what a layer gives. */
import type { DType } from "../ir/dtype.ts";
import type { Node } from "../ir/graph.ts";
import { tensor } from "../ir/tensor.ts";
import { build } from "../ops/builder.ts";
import { constantValue } from "../ops/constant.ts";
import { biasOf } from "../ops/weights.ts";

/** Adds a vector to what a layer gives, in its bias where it has one of its own. */
export function shiftOutputs(node: Node, shift: Float64Array, dtype: DType): void {
  const { graph } = node;
  const [alpha, beta] =
    node.op === "Gemm" ? [node.float("alpha", 1), node.float("beta", 1)] : [1, 1];
  const old = biasOf(node);
  // A stored form of a bias becomes plain numbers.
  const before = old && constantValue(old);
  if (before?.shape.at(-1) === shift.length && before.size === shift.length && beta !== 0) {
    const values = before.numbers();
    const sum = shift.map((x, i) => values[i] + (x * alpha) / beta);
    const place = node.op === "MatMul" ? node.output.consumers[0] : node;
    const bias = graph.addConstant(old?.name ?? "bias", tensor(before.dtype, before.shape, sum));
    place.setInput(place.inputs.indexOf(old), bias);
    return;
  }
  const isMissing = !old && node.op !== "MatMul" && beta !== 0;
  const sides =
    node.op === "Conv" && !isMissing ? (node.output.shape?.slice(2).map(() => 1) ?? []) : [];
  const scale = isMissing ? alpha / beta : alpha;
  const sum = tensor(
    dtype,
    [shift.length, ...sides],
    shift.map((x) => x * scale),
  );
  const g = build(graph, node.name);
  const constant = g.constant(sum, { name: "shift" });
  if (isMissing) node.setInput(2, constant);
  else {
    const shifted = g.Add(node.output, constant);
    graph.replace(node.output, shifted);
    shifted.producer?.setInput(0, node.output);
  }
}
