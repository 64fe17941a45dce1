/** @file Values that depend on constants only, and what they evaluate to. */
import type { Graph, Node, Value } from "../ir/graph.ts";
import type { Tensor } from "../ir/tensor.ts";
import { evaluateNode, evaluateRuleOf } from "./evaluate.ts";

/** Deterministic, without a body, and computable here. */
function canFold(node: Node): boolean {
  return node.subgraphs.length === 0 && evaluateRuleOf(node) !== null && node.inputs.length > 0;
}

/** The values of `graph` that its nodes compute from constants alone (constants themselves left out). */
export function constantExpressions(graph: Graph): Set<Value> {
  const found = new Set<Value>();
  const isConstant = (value: Value | null): boolean =>
    !value ||
    value.tensor !== null ||
    (value.graph === graph ? found.has(value) : isConstantExpression(value));
  for (const node of graph.sorted()) {
    if (canFold(node) && node.inputs.every(isConstant)) {
      for (const output of node.outputs) found.add(output);
    }
  }
  return found;
}

/** Whether the value is a constant or computed from constants alone. */
export function isConstantExpression(value: Value): boolean {
  const seen = new Set([value]);
  // Grows while it is walked: everything the value depends on.
  for (const needed of seen) {
    if (needed.tensor) continue;
    if (!needed.producer || !canFold(needed.producer)) return false;
    for (const input of needed.producer.inputs) if (input) seen.add(input);
  }
  return true;
}

/** The value's elements if it is a constant expression, else null. Nothing is kept between calls. */
export function constantValue(value: Value): Tensor | null {
  if (value.tensor) return value.tensor;
  if (!isConstantExpression(value)) return null;
  const done = new Map<Node, readonly Tensor[] | null>();
  const tensorOf = (input: Value): Tensor | null => {
    if (input.tensor) return input.tensor;
    const node = input.producer as Node;
    let outputs = done.get(node);
    if (outputs === undefined) {
      const inputs = node.inputs.map((read) => read && tensorOf(read));
      const isComplete = inputs.every((tensor, i) => tensor !== null || node.inputs[i] === null);
      outputs = isComplete ? evaluateNode(node, inputs) : null;
      done.set(node, outputs);
    }
    return outputs?.[node.outputs.indexOf(input)] ?? null;
  };
  return tensorOf(value);
}
