/** @file Removes nodes and constants that nothing reads. */
import type { Node, Value } from "../ir/graph.ts";
import { defineRule } from "./rule.ts";

export const dropDead = defineRule({
  id: "drop-dead",
  doc: "nodes and constants that no output depends on -> gone",
  sweep(graph) {
    const dropped: string[] = [];
    // The last node comes first, so that whole chains are removed in one pass.
    for (const node of graph.sorted().reverse()) {
      if (node.outputs.some((output) => output.uses.size > 0)) continue;
      graph.remove(node);
      dropped.push(node.name);
    }
    for (const value of [...graph.constants]) {
      if (value.uses.size === 0) graph.removeConstant(value);
    }
    return dropped;
  },
});

/** Removes the node if nothing reads it, and then the nodes and constants that only it read. */
export function sweepFrom(node: Node): void {
  const pending = [node];
  for (let next = pending.pop(); next; next = pending.pop()) {
    if (!next.graph.nodes.has(next)) continue;
    if (next.outputs.some((output) => output.uses.size > 0)) continue;
    const inputs = next.inputs.filter((input): input is Value => input !== null);
    next.graph.remove(next);
    for (const input of inputs) {
      if (input.producer) pending.push(input.producer);
      else if (input.tensor && input.uses.size === 0) input.graph.removeConstant(input);
    }
  }
}
