/** @file Puts a value that was built in the place of a node's output. */
import type { Node, Value } from "../ir/graph.ts";

/**
 * Readers of the node's output read `by` from now on, which takes its name and what is known of its
 * type; the node goes, and its constant `weight` as well where nothing else reads it.
 */
export function takePlace(node: Node, by: Value, weight?: Value): void {
  const { graph, output } = node;
  if (!output.isOutput) by.name = output.name;
  [by.dtype, by.shape] = [output.dtype ?? by.dtype, output.shape ?? by.shape];
  graph.replace(output, by);
  graph.remove(node);
  if (weight?.tensor && weight.uses.size === 0) weight.graph.removeConstant(weight);
}
