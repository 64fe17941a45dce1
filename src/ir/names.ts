/** @file Unique names for writing and printing: the interface keeps its names, the rest yields. */
import type { Graph, Node, Value } from "./graph.ts";

export interface Names {
  readonly values: ReadonlyMap<Value, string>;
  readonly nodes: ReadonlyMap<Node, string>;
}

/** Gives each wanted name, with a number after it where it is taken; linear however many clash. */
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

/** Values nothing reads and nobody named stay nameless (an absent optional output). */
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
 * Gives constants and inner values short names: in a small model names are a tenth of the file. Nodes
 * keep theirs, by which people know the layers; so do inputs and outputs, of bodies too.
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

/** The engine refuses two nodes of one name. */
function nameNodes(root: Graph): Map<Node, string> {
  const unique = uniqueNames();
  const names = new Map<Node, string>();
  for (const graph of root.walk()) {
    for (const node of graph.nodes) names.set(node, unique(node.name || node.op));
  }
  return names;
}
