/** @file Topological order of nodes: producers first, otherwise in the given order. */
import type { Graph, Node, Value } from "./graph.ts";

/** The values that a node reads, including those that its bodies capture. */
export function* reads(node: Node): Generator<Value> {
  for (const input of node.inputs) if (input) yield input;
  for (const body of node.subgraphs) yield* captures(body);
}

/** The values from outside `body` that it, or bodies inside it, read or return. */
export function* captures(body: Graph): Generator<Value> {
  const inside = new Set(body.walk());
  for (const graph of inside) {
    for (const output of graph.outputs) if (!inside.has(output.graph)) yield output;
    for (const node of graph.nodes) {
      for (const input of node.inputs) if (input && !inside.has(input.graph)) yield input;
    }
  }
}

/** The values, and all from which they are computed, in this graph and in those around it. */
export function dependencies(values: Iterable<Value>): Set<Value> {
  const found = new Set(values);
  for (const { producer } of found) {
    if (producer) for (const value of reads(producer)) found.add(value);
  }
  return found;
}

/**
 * The nodes of a graph in topological order, by depth-first search from each node in turn. It does
 * not use recursion, because models can be thousands of nodes deep. Throws RangeError on a cycle.
 */
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

/**
 * The producers of a node's inputs within the graph, last input first, so that `pop` gives
 * the first one first.
 */
function producers(node: Node, graph: Graph): Node[] {
  const found: Node[] = [];
  for (const value of reads(node)) {
    if (value.producer && value.producer.graph === graph) found.push(value.producer);
  }
  return found.reverse();
}
