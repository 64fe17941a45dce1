/** @file Constant expressions: values that depend on constants only, and their evaluation. */
import type { Attribute } from "../ir/attribute.ts";
import type { Graph, Node, Value } from "../ir/graph.ts";
import type { Tensor } from "../ir/tensor.ts";
import { stepsFor, within } from "./evaluate/work.ts";
import { evaluateNode, evaluateRuleOf } from "./evaluate.ts";

/**
 * Whether a node can be evaluated here: it is deterministic and has a rule, inputs and no bodies.
 */
function canFold(node: Node): boolean {
  return node.subgraphs.length === 0 && evaluateRuleOf(node) !== null && node.inputs.length > 0;
}

/**
 * The values of `graph` that its nodes compute from constants alone, without the
 * constants themselves.
 */
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

/** Whether a value is a constant, or computed from constants alone. */
export function isConstantExpression(value: Value): boolean {
  const seen = new Set([value]);
  // The set grows while it is walked: it holds everything that the value depends on.
  for (const needed of seen) {
    if (needed.tensor) continue;
    if (!needed.producer || !canFold(needed.producer)) return false;
    for (const input of needed.producer.inputs) if (input) seen.add(input);
  }
  return true;
}

/**
 * Results of evaluations, by the largest tensor of the expression and by its text. They are kept as
 * long as something else uses them.
 */
const evaluated = new WeakMap<Tensor, Map<string, WeakRef<Tensor>>>();

/**
 * The elements of a constant expression; null for any other value. An expression of the same
 * tensors, such as that of a copied model, is not evaluated again while its first result is in use.
 */
export function constantValue(value: Value): Tensor | null {
  if (value.tensor) return value.tensor;
  if (!isConstantExpression(value)) return null;
  const { text, largest, bytes } = describe(value);
  const known = largest && evaluated.get(largest)?.get(text)?.deref();
  if (known) return known;
  const result = within(stepsFor(bytes), () => evaluateExpression(value));
  if (result && largest) {
    const entries = evaluated.get(largest) ?? new Map<string, WeakRef<Tensor>>();
    evaluated.set(largest, entries.set(text, new WeakRef(result)));
  }
  return result;
}

const ids = new WeakMap<Tensor, number>();
let nextId = 0;

function idOf(tensor: Tensor): number {
  const id = ids.get(tensor) ?? nextId++;
  ids.set(tensor, id);
  return id;
}

/**
 * The expression as text, with tensors as numbers, so that equal texts mean equal expressions; and
 * its largest tensor, and the bytes of all.
 */
function describe(value: Value): {
  readonly text: string;
  readonly largest: Tensor | null;
  readonly bytes: number;
} {
  const lines: string[] = [];
  let largest: Tensor | null = null;
  let bytes = 0;
  const names = new Map<Value, string>();
  for (const node of nodesOf(value)) {
    const inputs = node.inputs.map((input) => {
      if (!input?.tensor) return (input && names.get(input)) ?? "";
      if (!largest || input.tensor.byteLength > largest.byteLength) largest = input.tensor;
      bytes += input.tensor.byteLength;
      return `#${idOf(input.tensor)}`;
    });
    const attributes = Object.entries(node.attributes).map(
      ([name, attribute]) => `${name}=${textOf(attribute)}`,
    );
    for (const [i, output] of node.outputs.entries()) names.set(output, `${lines.length}.${i}`);
    lines.push(`${node.domain}:${node.op}(${inputs.join()})${attributes.sort().join(";")}`);
  }
  return { text: `${lines.join(" ")} ${names.get(value)}`, largest, bytes };
}

/** An attribute as text, with tensors as numbers. */
function textOf(attribute: Attribute): string {
  if (attribute.type === "tensor") return `#${idOf(attribute.value)}`;
  if (attribute.type === "tensors") return attribute.value.map((one) => `#${idOf(one)}`).join();
  return JSON.stringify(attribute.value);
}

/**
 * The nodes of an expression in order of evaluation. It uses a stack of its own, because chains may
 * be longer than the call stack.
 */
export function nodesOf(value: Value): Node[] {
  const order: Node[] = [];
  const seen = new Set<Node>();
  const stack: { readonly node: Node; next: number }[] = [];
  const enter = (from: Value | null): void => {
    const node = from?.tensor ? null : from?.producer;
    if (!node || seen.has(node)) return;
    seen.add(node);
    stack.push({ node, next: 0 });
  };
  enter(value);
  for (let top = stack.at(-1); top; top = stack.at(-1)) {
    if (top.next < top.node.inputs.length) enter(top.node.inputs[top.next++]);
    else order.push((stack.pop() as typeof top).node);
  }
  return order;
}

function evaluateExpression(value: Value): Tensor | null {
  const known = new Map<Value, Tensor | null>();
  const tensorOf = (input: Value): Tensor | null => input.tensor ?? known.get(input) ?? null;
  for (const node of nodesOf(value)) {
    const inputs = node.inputs.map((input) => input && tensorOf(input));
    const isComplete = inputs.every((tensor, i) => tensor !== null || node.inputs[i] === null);
    const outputs = isComplete ? evaluateNode(node, inputs) : null;
    for (const [i, output] of node.outputs.entries()) known.set(output, outputs?.[i] ?? null);
  }
  return tensorOf(value);
}
