/** @file A copy of the rest of a network without the residual blocks that keep the shape of their input. */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { dependencies } from "../ir/sort.ts";
import { weightsOf } from "../ops/weights.ts";
import { copyNode } from "./copy-node.ts";
import { blocksOf } from "./residual.ts";

/** What was added to the graph. */
export interface Rest {
  /** The copy of the value `to`. */
  readonly output: Value;
  /** The nodes of the copy, whose constants are its own. */
  readonly nodes: readonly Node[];
  /** Nodes of the copy whose output should resemble that of another node, behind blocks left out. */
  readonly hints: readonly { readonly own: Node; readonly other: Node }[];
}

/**
 * Copies the nodes on the way from the value `from` to the value `to`. In the copy every residual block
 * y = x + f(x) behind `from` is y = x; what changes a shape (a strided block, a classifier) is copied
 * with its weights. Trained residual networks give much the same answers without some of their blocks
 * (Veit et al. 2016, arXiv 1605.06431), so the copy is a good start for training. Null if there is no
 * such block to leave out.
 */
export function copyShortcut(model: Model, from: Value, to: Value): Rest | null {
  const { graph } = model;
  const before = dependencies([from]);
  const layers = new Set(weightsOf(model).map(({ node }) => node));
  const blocks = blocksOf(model, layers).filter(({ sum }) => !before.has(sum.output));
  const through = new Map(blocks.map(({ sum, through }) => [sum, through]));
  if (through.size === 0) return null;
  const needed = new Set([to]);
  for (const { producer } of needed) {
    if (!producer || before.has(producer.output)) continue;
    const passed = through.get(producer);
    for (const input of passed ? [passed] : producer.inputs) if (input) needed.add(input);
  }
  const twins = new Map<Value, Value>();
  const twinOf = (value: Value): Value => {
    if (before.has(value)) return value;
    const twin = twins.get(value) ?? (value.tensor && graph.addConstant(value.name, value.tensor));
    if (twin) twins.set(value, twin);
    return twin ?? value;
  };
  const nodes: Node[] = [];
  for (const node of graph.sorted()) {
    if (!node.outputs.some((value) => needed.has(value) && !before.has(value))) continue;
    const passed = through.get(node);
    if (passed) {
      twins.set(node.output, twinOf(passed));
      continue;
    }
    nodes.push(copyNode(node, "exit", twinOf, twins));
  }
  const passedOn = new Set(through.values());
  const ends = blocks.flatMap(({ result }) => (passedOn.has(result) ? [] : [result]));
  const hints = ends.flatMap((end) => {
    const [own, other] = [twins.get(end)?.producer, end.producer];
    return own && other && nodes.includes(own) ? [{ own, other }] : [];
  });
  return { output: twinOf(to), nodes, hints };
}
