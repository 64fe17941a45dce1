/** @file The gradient of If: an If whose branches compute again what they need, and differentiate it. */
import type { Attribute } from "../ir/attribute.ts";
import { dtypes } from "../ir/dtype.ts";
import type { Graph, Node, Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import { build } from "../ops/builder.ts";
import { gradientType, zerosLike } from "../ops/grad/rule.ts";
import { inferNode } from "../ops/infer.ts";

/**
 * Adds the gradients of `wanted` to a graph: `parts` says what is known of the gradients of the
 * values that count. Null where nothing that counts depends on the value.
 */
export type Differentiate = (
  graph: Graph,
  parts: Map<Value, Value[]>,
  wanted: readonly Value[],
) => ReadonlyMap<Value, Value | null>;

/** One gradient for each captured value; a branch that does not use it gives zeros. */
export function branchGradients(
  node: Node,
  dys: readonly (Value | null)[],
  captured: readonly Value[],
  differentiate: Differentiate,
): readonly Value[] {
  const attributes: Record<string, Attribute> = {};
  for (const [name, attribute] of Object.entries(node.attributes)) {
    if (attribute.type !== "graph") continue;
    const value = cloneGraph(attribute.value, new Map());
    backThrough(value, dys, captured, differentiate);
    attributes[name] = { type: "graph", value };
  }
  const name = `grad/${node.name}`;
  const made = node.graph.add("If", node.inputs, {
    name,
    attributes,
    outputs: captured.map((value) => `${name}/${value.name}`),
  });
  inferNode(made);
  for (const [i, value] of captured.entries()) {
    Object.assign(made.outputs[i], { dtype: gradientType(value), shape: value.shape });
  }
  return made.outputs;
}

/** Makes a branch return the gradients of what it captured instead of its outputs. */
function backThrough(
  body: Graph,
  dys: readonly (Value | null)[],
  captured: readonly Value[],
  differentiate: Differentiate,
): void {
  const parts = new Map<Value, Value[]>();
  for (const [i, output] of body.outputs.entries()) {
    const dy = dys[i];
    if (dy) parts.set(output, [...(parts.get(output) ?? []), dy]);
  }
  const gradients = differentiate(body, parts, captured);
  const g = build(body, "grad", inferNode);
  const returned = new Set<Value>();
  const results = captured.map((value) => {
    const gradient = gradients.get(value) ?? zerosLike(g, value);
    // A branch returns what it computes itself, each value once.
    const isOwn = gradient.producer?.graph === body && !returned.has(gradient);
    const result = isOwn ? gradient : g.Identity(gradient);
    returned.add(result);
    return result;
  });
  body.setOutputs(results);
  for (const idle of body.sorted().toReversed()) {
    if (idle.outputs.every(({ uses }) => uses.size === 0)) body.remove(idle);
  }
  for (const value of [...body.constants]) {
    if (value.uses.size === 0) body.removeConstant(value);
  }
}

/**
 * Moves the real-valued constants of branches and other bodies to the main graph, where they can be
 * trained; gives old -> new. What a body returns as it is stays.
 */
export function hoistConstants({ graph: main }: Model): ReadonlyMap<Value, Value> {
  const moved = new Map<Value, Value>();
  for (const graph of main.walk()) {
    if (graph === main) continue;
    for (const value of [...graph.constants]) {
      const { tensor } = value;
      if (!tensor || value.isOutput || dtypes[tensor.dtype].kind !== "float") continue;
      const hoisted = main.addConstant(value.name, tensor);
      graph.replace(value, hoisted);
      graph.removeConstant(value);
      moved.set(value, hoisted);
    }
  }
  return moved;
}
