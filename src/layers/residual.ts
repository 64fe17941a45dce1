/** @file Residual blocks: sums y = x + f(x) of a value and of what layers compute from it. */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { hasTrait } from "../ops/traits.ts";

/** A residual block y = x + f(x). */
export interface Block {
  /** The Add that gives y. */
  readonly sum: Node;
  /** x, which the sum passes on. */
  readonly through: Value;
  /** Which input of the sum is x. */
  readonly at: number;
  /** The layers of f. */
  readonly layers: readonly Node[];
  /** y, or the output of the single function that reads y (a Relu behind the sum). */
  readonly result: Value;
}

/**
 * All sums of a value x and of something that layers compute from x, both of the same shape, in order
 * of execution.
 */
export function blocksOf(model: Model, layers: ReadonlySet<Node>): Block[] {
  return model.graph.sorted().flatMap((sum) => {
    if (!hasTrait(sum, "adds") || sum.output.isOutput) return [];
    for (const [at, through] of sum.inputs.entries()) {
      const branch = sum.inputs[1 - at];
      if (!through || !branch || through.tensor || !isAlike(through, branch)) continue;
      const between = nodesBetween(through, branch).filter((node) => layers.has(node));
      if (between.length === 0) continue;
      const [next, ...others] = sum.output.consumers;
      const isOnly = others.length === 0 && next?.inputs.length === 1 && next.outputs.length === 1;
      const result = isOnly && isAlike(next.output, through) ? next.output : sum.output;
      return [{ sum, through, at, layers: between, result }];
    }
    return [];
  });
}

const isAlike = (a: Value, b: Value): boolean =>
  a.shape !== null && b.shape !== null && String(a.shape) === String(b.shape);

/** The nodes on all paths from one value to another. */
function nodesBetween(from: Value, to: Value): Node[] {
  const leads = new Map<Value, boolean>([[from, true]]);
  const found: Node[] = [];
  // A stack, not a recursion: decoders have thousands of nodes in a row.
  const stack = [to];
  while (stack.length > 0) {
    const value = stack[stack.length - 1];
    const node = value.producer;
    if (leads.has(value) || !node) {
      if (!leads.has(value)) leads.set(value, false);
      stack.pop();
      continue;
    }
    const inputs = node.inputs.filter((input) => input !== null);
    const open = inputs.filter((input) => !leads.has(input));
    if (open.length > 0) {
      stack.push(...open);
      continue;
    }
    const isOn = inputs.some((input) => leads.get(input));
    for (const output of node.outputs) if (output) leads.set(output, isOn);
    if (isOn) found.push(node);
    stack.pop();
  }
  return found;
}
