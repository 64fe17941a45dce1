/** @file The gradient of If: an If whose branches run again and are differentiated. */
import type { Attribute } from "../ir/attribute.ts";
import { dtypes } from "../ir/dtype.ts";
import type { Graph, Node, Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import { build } from "../ops/builder.ts";
import { gradientType, zerosLike } from "../ops/grad/rule.ts";
import { inferNode } from "../ops/infer.ts";

/**
 * Adds the gradients of `wanted` to a graph; `parts` holds the known gradients of the values to
 * start from. Null for a value on which none of these depends.
 */
export type Differentiate = (
  graph: Graph,
  parts: Map<Value, Value[]>,
  wanted: readonly Value[],
) => ReadonlyMap<Value, Value | null>;

/**
 * The gradients of the values that the branches of an If capture, in the order of `captured`, given
 * the gradients `dys` of its outputs. A branch that does not use a value gives zeros for it.
 */
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

/** Makes a branch return the gradients of the values it captures instead of its outputs. */
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
    // A branch may only return values that it computes itself, each of them once.
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
 * Moves the real-valued constants of branches and other bodies to the main graph, where they can
 * learn, and returns old -> new. Constants that a body returns directly stay.
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
