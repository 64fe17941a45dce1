/** @file Replaces an If with a constant condition by the nodes of its branch. */
import type { Attribute, Attributes } from "../ir/attribute.ts";
import type { Graph, Value } from "../ir/graph.ts";
import { cloneGraph } from "../ir/model.ts";
import { captures } from "../ir/sort.ts";
import { scalarOf } from "./constants.ts";
import { defineRule } from "./rule.ts";

export const inlineIf = defineRule({
  id: "inline-if",
  doc: "If with a constant condition -> the branch it takes",
  roots: ["If"],
  apply(node) {
    const condition = scalarOf(node.inputs[0]);
    if (condition === undefined) return null;
    const branch = node.attributes[condition ? "then_branch" : "else_branch"];
    if (branch?.type !== "graph") return null;
    return inline(branch.value, node.graph);
  },
});

/** Copies a body without inputs into `graph`; returns the copies of its outputs. */
function inline(body: Graph, graph: Graph): Value[] {
  const moved = new Map<Value, Value>();
  const take = (value: Value): Value => {
    if (value.graph !== body) return value;
    let twin = moved.get(value);
    if (!twin) {
      twin = graph.addValue(value.name);
      [twin.dtype, twin.shape, twin.opaqueType] = [value.dtype, value.shape, value.opaqueType];
      if (value.tensor) graph.setConstant(twin, value.tensor);
      moved.set(value, twin);
    }
    return twin;
  };
  for (const node of body.nodes) for (const output of node.outputs) take(output);
  for (const node of body.sorted()) {
    for (const input of node.inputs) if (input) take(input);
    graph.add(
      node.op,
      node.inputs.map((input) => input && take(input)),
      {
        name: node.name,
        domain: node.domain,
        attributes: copyBodies(node.attributes, moved, take),
        outputs: node.outputs.map(take),
      },
    );
  }
  return body.outputs.map(take);
}

/** Copies of the nested bodies, which read the copied values. */
function copyBodies(
  attributes: Attributes,
  moved: Map<Value, Value>,
  take: (value: Value) => Value,
): Attributes {
  const copyOf = (attribute: Attribute): Attribute => {
    if (attribute.type !== "graph") return attribute;
    for (const captured of captures(attribute.value)) take(captured);
    return { type: "graph", value: cloneGraph(attribute.value, moved) };
  };
  return Object.fromEntries(
    Object.entries(attributes).map(([name, attribute]) => [name, copyOf(attribute)]),
  );
}
