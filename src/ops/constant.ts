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
  const known = new Map<Value, Tensor | null>();
  const tensorOf = (input: Value): Tensor | null => input.tensor ?? known.get(input) ?? null;
  // A stack of its own: chains may be thousands of nodes long.
  const stack = [value.producer as Node];
  for (let node = stack.at(-1); node; node = stack.at(-1)) {
    const waiting = node.inputs.filter((input) => input && !input.tensor && !known.has(input));
    if (waiting.length > 0) {
      for (const input of waiting) stack.push(input?.producer as Node);
      continue;
    }
    stack.pop();
    if (known.has(node.output)) continue;
    const inputs = node.inputs.map((input) => input && tensorOf(input));
    const isComplete = inputs.every((tensor, i) => tensor !== null || node.inputs[i] === null);
    const outputs = isComplete ? evaluateNode(node, inputs) : null;
    for (const [i, output] of node.outputs.entries()) known.set(output, outputs?.[i] ?? null);
  }
  return tensorOf(value);
}
