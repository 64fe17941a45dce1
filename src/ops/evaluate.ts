/** @file Reference evaluator: what each operator computes, in float64, rounded once per node. */
import { errors, fail, TersorError } from "../errors.ts";
import type { Graph, Node, Value } from "../ir/graph.ts";
import type { Tensor } from "../ir/tensor.ts";
import type { EvaluateContext, EvaluateRule } from "./evaluate/elements.ts";
import { evaluateRuleOf } from "./evaluate/rules.ts";
import { spend, TooMuchWork } from "./evaluate/work.ts";
import { schemaOf } from "./schema.ts";

export type { EvaluateContext, EvaluateRule } from "./evaluate/elements.ts";
export { evaluateRuleOf };

export type Feeds = Readonly<Record<string, Tensor>> | ReadonlyMap<string, Tensor>;

/** A context without captured values, enough for every operator without a body. */
const constantsOnly: EvaluateContext = createContext(new Map());

/**
 * The outputs of one node for given inputs (null: left out). Null if the operator, or this use of
 * it, has no rule. Throws TersorError "bad-operands" if inputs are missing or do not fit together.
 */
export function evaluateNode(
  node: Node,
  inputs: readonly (Tensor | null)[],
  context: EvaluateContext = constantsOnly,
): Tensor[] | null {
  const rule = evaluateRuleOf(node);
  if (!rule) return null;
  const ports = node.domain === "" ? (schemaOf(node.op)?.inputs ?? []) : [];
  for (const [i, port] of ports.entries()) {
    if (!port.optional && !inputs[i]) {
      throw fail(errors.badOperands(node.name, `${node.op} needs its input "${port.name}"`));
    }
  }
  const outputs = apply(rule, inputs as readonly Tensor[], node, context);
  if (!outputs) return null;
  return Array.isArray(outputs) ? [...outputs] : [outputs as Tensor];
}

/**
 * Calls a rule. Rules do not check inputs, so any other error means that the model is wrong, and
 * becomes TersorError "bad-operands".
 */
function apply(
  rule: EvaluateRule,
  inputs: readonly Tensor[],
  node: Node,
  context: EvaluateContext,
): ReturnType<EvaluateRule> {
  try {
    spend(1);
    return rule(inputs, node, context);
  } catch (cause) {
    if (cause instanceof TersorError) throw cause;
    if (cause instanceof TooMuchWork) {
      const why = `${node.op} is more work than it may be: ${cause.message}`;
      throw fail(errors.badOperands(node.name, why), cause);
    }
    const shapes = inputs.map((x) => (x ? `${x.dtype}[${x.shape}]` : "-")).join(", ");
    throw fail(errors.badOperands(node.name, `${node.op} does not fit inputs ${shapes}`), cause);
  }
}

/**
 * The graph's outputs by name. Throws TersorError "no-rule" for an operator without a rule, and
 * "bad-operands" if an input is missing or does not fit.
 */
export function evaluateGraph(graph: Graph, feeds: Feeds): Record<string, Tensor> {
  const given = feeds instanceof Map ? feeds : new Map(Object.entries(feeds));
  const known = new Map<Value, Tensor>();
  for (const input of graph.inputs) {
    const fed: Tensor | undefined = given.get(input.name);
    if (fed) known.set(input, fed);
  }
  const results = runGraph(graph, known);
  return Object.fromEntries(graph.outputs.map((output, i) => [output.name, results[i]]));
}

/** Runs all nodes. `known` holds the values of this run, including those of outer graphs. */
function runGraph(graph: Graph, known: Map<Value, Tensor>): Tensor[] {
  const context = createContext(known);
  for (const node of graph.sorted()) {
    const inputs = node.inputs.map((input) => input && need(context, input, node.name));
    const outputs = evaluateNode(node, inputs, context);
    if (!outputs) throw fail(errors.noRule(node.name, node.op, "reference evaluation"));
    for (const [i, output] of node.outputs.entries()) if (outputs[i]) known.set(output, outputs[i]);
  }
  return graph.outputs.map((output) => need(context, output, graph.name));
}

function need(context: EvaluateContext, value: Value, where: string): Tensor {
  const tensor = context.lookup(value);
  if (!tensor) throw fail(errors.badOperands(where, `"${value.name}" has no value`));
  return tensor;
}

function createContext(known: Map<Value, Tensor>): EvaluateContext {
  return {
    lookup: (value) => value.tensor ?? known.get(value) ?? null,
    run(body, inputs) {
      const scope = new Map(known);
      for (const [i, input] of body.inputs.entries()) if (inputs[i]) scope.set(input, inputs[i]);
      return runGraph(body, scope);
    },
  };
}
