/** @file A model's graph as a drawing: nodes in rows, what is written on them, and their edges. */
import {
  constantExpressions,
  format,
  type Model,
  type Node,
  readWeight,
  type Value,
  weightsOf,
} from "tersor";
import type { Drawing, DrawnNode } from "../protocol.ts";
import type { Change } from "./changes.ts";
import { layered } from "./layered.ts";
import { boxWidth } from "./size.ts";

type Box = Omit<DrawnNode, "x">;

/**
 * Lays the main graph out. Nodes that compute constants are left out: they rebuild the weight of a
 * layer, which says how it is stored.
 */
export function drawingOf(model: Model, changeOf: (node: Node) => Change): Drawing {
  const { graph } = model;
  const constants = constantExpressions(graph);
  const boxes: Box[] = [];
  const makers = new Map<Value, number>();
  const box = (made: Box): number => boxes.push(made) - 1;
  for (const value of graph.inputs) {
    const note = `${value.dtype ?? "?"} ${format.shape(value.shape ?? [])}`;
    if (value.tensor === null) makers.set(value, box({ ...port("input", value), note }));
  }
  const drawn = graph.sorted().filter((node) => !constants.has(node.output));
  const stored = storedAs(model);
  const indices = drawn.map((node) => {
    const { name, op } = node;
    const note = stored.get(node) ?? "";
    const index = box({ kind: "node", name, op, note, change: changeOf(node) });
    for (const output of node.outputs) makers.set(output, index);
    return index;
  });
  const edges = new Set<string>();
  const connect = (value: Value | null, to: number): void => {
    const from = value && makers.get(value);
    if (from != null) edges.add(`${from} ${to}`);
  };
  for (const [i, node] of drawn.entries()) {
    for (const value of readBy(node)) connect(value, indices[i]);
  }
  for (const value of graph.outputs) {
    const note = `${value.dtype ?? "?"} ${format.shape(value.shape ?? [])}`;
    connect(value, box({ ...port("output", value), note }));
  }
  const { x, rows, width } = layered({
    widths: boxes.map(() => boxWidth),
    edges: [...edges].map((edge) => edge.split(" ").map(Number) as [number, number]),
  });
  return { nodes: boxes.map((each, i) => ({ ...each, x: x[i] })), rows, width };
}

const port = (kind: "input" | "output", { name }: Value) =>
  ({ kind, name, op: kind, change: "same" }) as const;

/** The values that a node reads, those included that the bodies of an If or a Loop read of its graph. */
function readBy(node: Node): (Value | null)[] {
  const inner = node.subgraphs.flatMap((body) =>
    [...body.walk()].flatMap((graph) => [
      ...[...graph.nodes].flatMap(({ inputs }) => inputs),
      ...graph.outputs,
    ]),
  );
  return [...node.inputs, ...inner.filter((value) => value?.graph === node.graph)];
}

/** The shape of each layer's weight and how it is stored: "16 x 6 x 5 x 5, codebook". */
function storedAs(model: Model): Map<Node, string> {
  const notes = new Map<Node, string>();
  for (const { node, value } of weightsOf(model)) {
    if (notes.has(node)) continue;
    const shape = format.shape((value.shape ?? value.tensor?.shape ?? []).map(Number));
    const form = value.tensor ? value.tensor.dtype : (readWeight(value)?.form?.kind ?? "rebuilt");
    notes.set(node, form === "float32" ? shape : `${shape}, ${form}`);
  }
  return notes;
}
