/** @file Unique value names for writing: the interface keeps its names, the rest yields. */
import type { Graph, Value } from "../ir/graph.ts";

export type Names = ReadonlyMap<Value, string>;

/** Values nothing reads and nobody named stay nameless (an absent optional output). */
export function assignNames(root: Graph): Names {
  const names = new Map<Value, string>();
  const taken = new Set<string>();
  const assign = (value: Value): void => {
    if (names.has(value)) return;
    if (value.name === "" && value.uses.size === 0) return;
    const base = value.name || value.producer?.name || "value";
    let name = base;
    for (let i = 1; taken.has(name); i++) name = `${base}_${i}`;
    taken.add(name);
    names.set(value, name);
  };
  for (const value of [...root.inputs, ...root.outputs]) assign(value);
  for (const graph of root.walk()) {
    for (const value of graph.inputs) assign(value);
    for (const value of graph.constants) if (value.uses.size > 0) assign(value);
    for (const node of graph.nodes) for (const output of node.outputs) assign(output);
  }
  return names;
}
