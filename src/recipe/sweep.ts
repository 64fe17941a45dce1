/** @file Removes the nodes and constants that a step left unread, not those unread before it. */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";

/**
 * Notes which nodes and constants of the model are unread now and returns the function that, after
 * the model was edited, removes those that have become unread since.
 */
export function createSweep(model: Model): () => void {
  const unread = new Set<Node | Value>();
  for (const graph of model.graph.walk()) {
    for (const node of graph.sorted().reverse()) if (leadsNowhere(node, unread)) unread.add(node);
    for (const value of graph.constants) if (value.uses.size === 0) unread.add(value);
  }
  return () => {
    for (const graph of model.graph.walk()) {
      // In reverse order, so that a whole chain of unread nodes is removed in one pass.
      for (const node of graph.sorted().reverse()) {
        const isRead = node.outputs.some(({ uses }) => uses.size > 0);
        if (!isRead && !unread.has(node)) graph.remove(node);
      }
      for (const value of [...graph.constants]) {
        if (value.uses.size === 0 && !unread.has(value)) graph.removeConstant(value);
      }
    }
  };
}

/**
 * Whether all readers of the node's outputs are nodes in `unread` (graph outputs are readers too).
 */
function leadsNowhere({ outputs }: Node, unread: ReadonlySet<Node | Value>): boolean {
  return outputs.every(({ uses }) =>
    [...uses].every(({ user }) => "op" in user && unread.has(user)),
  );
}
