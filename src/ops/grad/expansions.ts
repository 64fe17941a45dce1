/** @file Operators that are expanded to plain nodes before they are differentiated. */
import type { Graph, Node } from "../../ir/graph.ts";
import type { Model } from "../../ir/model.ts";
import { inferModel } from "../infer.ts";
import { entryOf, type OpTable } from "../table.ts";
import { expandAttention } from "./expand-attention.ts";
import { type Kind, kinds } from "./recurrent-cells.ts";
import { unroll } from "./unroll.ts";

/**
 * Replaces a node by plain nodes, in a graph whose types are known. The node's outputs
 * stay the same values.
 */
type Expansion = (graph: Graph, node: Node) => void;

const unrolled =
  (kind: Kind): Expansion =>
  (graph, node) =>
    unroll(graph, node, kind);

const expansions: OpTable<Expansion> = {
  Attention: expandAttention,
  GRU: unrolled(kinds.GRU),
  LSTM: unrolled(kinds.LSTM),
  RNN: unrolled(kinds.RNN),
};

/**
 * Expands those of the nodes that have an expansion; returns whether there were any. Throws
 * TersorError "no-gradient" for uses that cannot be expanded.
 */
export function expandNodes(graph: Graph, nodes: Iterable<Node>): boolean {
  let isChanged = false;
  for (const node of [...nodes]) {
    const expand = entryOf(expansions, node);
    expand?.(graph, node);
    isChanged ||= expand !== null;
  }
  return isChanged;
}

/** Expands all such nodes of a model, in bodies too. */
export function expandModel(model: Model): void {
  inferModel(model);
  for (const graph of [...model.graph.walk()]) expandNodes(graph, graph.nodes);
}
