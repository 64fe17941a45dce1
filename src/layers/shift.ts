/** @file A constant added to what a layer gives. */
import type { DType } from "../ir/dtype.ts";
import type { Node } from "../ir/graph.ts";
import { tensor } from "../ir/tensor.ts";
import { biasInputOf, biasReadBy } from "../ops/bias.ts";
import { build } from "../ops/builder.ts";
import { constantValue } from "../ops/constant.ts";
import { linearOf } from "../ops/linear.ts";

/** Adds a vector to what a layer gives, in its bias where it has one of its own. */
export function shiftOutputs(node: Node, shift: Float64Array, dtype: DType): void {
  const { graph } = node;
  const { alpha, beta, channelAxis } = linearOf(node) ?? { alpha: 1, beta: 1, channelAxis: -1 };
  const old = biasReadBy(node);
  // A stored form of a bias becomes plain numbers.
  const before = old && constantValue(old.value);
  if (old && before?.shape.at(-1) === shift.length && before.size === shift.length && beta !== 0) {
    const values = before.numbers();
    const sum = shift.map((x, i) => values[i] + (x * alpha) / beta);
    const bias = graph.addConstant(old.value.name, tensor(before.dtype, before.shape, sum));
    old.node.setInput(old.index, bias);
    return;
  }
  const free = old || beta === 0 ? null : biasInputOf(node);
  // Added to the output, a vector has to lie along its channels.
  const positions = channelAxis === 1 ? (node.output.shape ?? []).slice(2) : [];
  const sides = free === null ? positions.map(() => 1) : [];
  const scale = free === null ? alpha : alpha / beta;
  const sum = tensor(
    dtype,
    [shift.length, ...sides],
    shift.map((x) => x * scale),
  );
  const g = build(graph, node.name);
  const constant = g.constant(sum, { name: "shift" });
  if (free !== null) node.setInput(free, constant);
  else {
    const shifted = g.Add(node.output, constant);
    graph.replace(node.output, shifted);
    shifted.producer?.setInput(0, node.output);
  }
}
