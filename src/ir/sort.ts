/** @file Stable topological order: producers first, otherwise the order given. */
import type { Graph, Node, Value } from "./graph.ts";

/** Values a node reads from its own graph's scope, including those its bodies capture. */
export function* reads(node: Node): Generator<Value> {
  for (const input of node.inputs) if (input) yield input;
  for (const body of node.subgraphs) yield* captures(body);
}

/** Values from outside `body` that it, or bodies inside it, read or return. */
export function* captures(body: Graph): Generator<Value> {
  const inside = new Set(body.walk());
  for (const graph of inside) {
    for (const output of graph.outputs) if (!inside.has(output.graph)) yield output;
    for (const node of graph.nodes) {
      for (const input of node.inputs) if (input && !inside.has(input.graph)) yield input;
    }
  }
}

/** Depth-first from each node in turn, without recursion: models are thousands of nodes deep. */
export function topological(graph: Graph): Node[] {
  const order: Node[] = [];
  const state = new Map<Node, "open" | "done">();
  for (const root of graph.nodes) {
    if (state.has(root)) continue;
    const stack: { node: Node; pending: Node[] }[] = [];
    const open = (node: Node): void => {
      state.set(node, "open");
      stack.push({ node, pending: producers(node, graph) });
    };
    open(root);
    while (stack.length > 0) {
      const top = stack[stack.length - 1];
      const next = top.pending.pop();
      if (!next) {
        state.set(top.node, "done");
        order.push(top.node);
        stack.pop();
      } else if (!state.has(next)) {
        open(next);
      } else if (state.get(next) === "open") {
        throw new RangeError(`nodes ${top.node.name} and ${next.name} depend on each other`);
      }
    }
  }
  return order;
}

/** In reverse, so that popping visits the first input's producer first. */
function producers(node: Node, graph: Graph): Node[] {
  const found: Node[] = [];
  for (const value of reads(node)) {
    if (value.producer && value.producer.graph === graph) found.push(value.producer);
  }
  return found.reverse();
}
