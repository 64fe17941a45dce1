/** @file Adds a constant to the outputs of a layer. */
import type { DType } from "../ir/dtype.ts";
import type { Node } from "../ir/graph.ts";
import { tensor } from "../ir/tensor.ts";
import { biasInputOf, biasReadBy } from "../ops/bias.ts";
import { build } from "../ops/builder.ts";
import { constantValue } from "../ops/constant.ts";
import { linearOf } from "../ops/linear.ts";

/**
 * Adds `shift` [outputs], in units of W x, to what a layer gives: to its bias if it has one, else
 * as a new bias, or as an Add of type `dtype` behind the node if its operator takes none.
 */
export function shiftOutputs(node: Node, shift: Float64Array, dtype: DType): void {
  const { graph } = node;
  const { alpha, beta, channelAxis } = linearOf(node) ?? { alpha: 1, beta: 1, channelAxis: -1 };
  const old = biasReadBy(node);
  // A bias that is stored in a form becomes plain numbers.
  const before = old && constantValue(old.value);
  if (old && before?.shape.at(-1) === shift.length && before.size === shift.length && beta !== 0) {
    const values = before.numbers();
    const sum = shift.map((x, i) => values[i] + (x * alpha) / beta);
    const bias = graph.addConstant(old.value.name, tensor(before.dtype, before.shape, sum));
    old.node.setInput(old.index, bias);
    return;
  }
  const free = old || beta === 0 ? null : biasInputOf(node);
  // In an Add behind the node the vector has to lie along the channels: [outputs, 1, 1].
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
