/** @file Blocks: the parts of a network between values that everything has to come through. */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { isConstantExpression } from "../ops/constant.ts";
import { weightsOf } from "../ops/weights.ts";

/** Nodes with weights, and the node whose output alone the rest of the network depends on. */
export interface Block {
  readonly layers: readonly Node[];
  readonly end: Node;
}

/**
 * The blocks of the main graph in order: a residual block with what follows its sum, or a layer with
 * its activation and pooling. A value ends a block if, once it is there, no other value that depends
 * on the inputs is needed any more; of several in a row without a layer between, the last one does.
 */
export function blocksOf(model: Model): Block[] {
  const { graph } = model;
  const withWeights = new Set(weightsOf(model).map(({ node }) => node));
  const nodes = graph.sorted();
  const place = new Map(nodes.map((node, i) => [node, i]));
  const lastUse = (value: Value): number =>
    value.isOutput
      ? nodes.length
      : Math.max(-1, ...value.consumers.map((node) => place.get(node) ?? nodes.length));
  const live = new Map(graph.inputs.map((input) => [input, lastUse(input)]));
  const blocks: { layers: Node[]; end: Node }[] = [];
  let layers: Node[] = [];
  for (const [i, node] of nodes.entries()) {
    if (withWeights.has(node)) layers.push(node);
    for (const output of node.outputs) {
      if (output && !isConstantExpression(output)) live.set(output, lastUse(output));
    }
    for (const [value, last] of live) if (last <= i) live.delete(value);
    const isCut = live.size === 1 && live.has(node.output);
    if (!isCut) continue;
    const before = blocks.at(-1);
    if (layers.length > 0) blocks.push({ layers, end: node });
    else if (before) before.end = node;
    layers = [];
  }
  return blocks;
}
