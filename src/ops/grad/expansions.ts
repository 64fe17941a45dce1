/** @file Operators without a gradient rule of their own: the plain nodes they stand for have one each. */
import type { Graph, Node } from "../../ir/graph.ts";
import type { Model } from "../../ir/model.ts";
import { inferModel } from "../infer.ts";
import { entryOf, type OpTable } from "../table.ts";
import { expandAttention } from "./expand-attention.ts";
import { type Kind, kinds } from "./recurrent-cells.ts";
import { unroll } from "./unroll.ts";

/** Puts plain nodes in a node's place, in a graph whose types are known; the values it gave stay the same. */
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

/** Expands those of a graph's nodes that have to be; whether there were any. Throws "no-gradient". */
export function expandNodes(graph: Graph, nodes: Iterable<Node>): boolean {
  let isChanged = false;
  for (const node of [...nodes]) {
    const expand = entryOf(expansions, node);
    expand?.(graph, node);
    isChanged ||= expand !== null;
  }
  return isChanged;
}

/** The same for every node of a model, in bodies too. */
export function expandModel(model: Model): void {
  inferModel(model);
  for (const graph of [...model.graph.walk()]) expandNodes(graph, graph.nodes);
}
