/**
 * @file Unique names for writing and printing. Inputs and outputs keep their names; other names
 * that clash get a number.
 */
import type { Graph, Node, Value } from "./graph.ts";

/** The names under which values and nodes are written. */
export interface Names {
  readonly values: ReadonlyMap<Value, string>;
  readonly nodes: ReadonlyMap<Node, string>;
}

/**
 * A function that returns the wanted name, with a number appended if it is taken. It takes linear
 * time however many names clash.
 */
export function uniqueNames(): (wanted: string) => string {
  const taken = new Set<string>();
  const next = new Map<string, number>();
  return (wanted) => {
    let name = wanted;
    let i = next.get(wanted) ?? 1;
    while (taken.has(name)) name = `${wanted}_${i++}`;
    next.set(wanted, i);
    taken.add(name);
    return name;
  };
}

/**
 * Unique names for all values and nodes of a graph and its bodies. A value without a name that
 * nothing reads, such as an optional output that is left out, gets none.
 */
export function assignNames(root: Graph): Names {
  const names = new Map<Value, string>();
  const unique = uniqueNames();
  const assign = (value: Value): void => {
    if (names.has(value)) return;
    if (value.name === "" && value.uses.size === 0) return;
    names.set(value, unique(value.name || value.producer?.name || "value"));
  };
  for (const value of [...root.inputs, ...root.outputs]) assign(value);
  for (const graph of root.walk()) {
    for (const value of graph.inputs) assign(value);
    for (const value of graph.constants) if (value.uses.size > 0) assign(value);
    for (const node of graph.nodes) for (const output of node.outputs) assign(output);
  }
  return { values: names, nodes: nameNodes(root) };
}

/**
 * Gives constants and inner values short names, because in a small model names are a tenth of
 * the file. Nodes keep their names, by which users know the layers, and so do inputs and
 * outputs, also of bodies.
 */
export function shortenNames(root: Graph): void {
  let count = 0;
  const shorten = (value: Value): void => {
    if (value.name !== "" && !value.isOutput) value.name = (count++).toString(36);
  };
  for (const graph of root.walk()) {
    for (const value of graph.constants) if (!graph.inputs.includes(value)) shorten(value);
    for (const node of graph.nodes) for (const output of node.outputs) shorten(output);
  }
}

/** Unique names for nodes: the engine refuses two nodes of one name. */
function nameNodes(root: Graph): Map<Node, string> {
  const unique = uniqueNames();
  const names = new Map<Node, string>();
  for (const graph of root.walk()) {
    for (const node of graph.nodes) names.set(node, unique(node.name || node.op));
  }
  return names;
}
