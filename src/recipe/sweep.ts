/** @file Takes away what a step left unread, and nothing that was unread before it. */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";

/** To be made before the model is edited, and called after it. */
export function createSweep(model: Model): () => void {
  const unread = new Set<Node | Value>();
  for (const graph of model.graph.walk()) {
    for (const node of graph.sorted().reverse()) if (leadsNowhere(node, unread)) unread.add(node);
    for (const value of graph.constants) if (value.uses.size === 0) unread.add(value);
  }
  return () => {
    for (const graph of model.graph.walk()) {
      // Last first, so that whole chains go in one pass.
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

/** Whether only nodes that are unread themselves read the node. */
function leadsNowhere({ outputs }: Node, unread: ReadonlySet<Node | Value>): boolean {
  return outputs.every(({ uses }) =>
    [...uses].every(({ user }) => "op" in user && unread.has(user)),
  );
}
