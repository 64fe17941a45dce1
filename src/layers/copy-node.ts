/** @file Copies a node within its graph. */
import type { Node, Value } from "../ir/graph.ts";
import { inferNode } from "../ops/infer.ts";

/**
 * Adds a copy of the node that reads `twinOf` its inputs; names get the ending `/${suffix}`. The
 * copies of its outputs, with shapes, are noted in `twins`.
 */
export function copyNode(
  node: Node,
  suffix: string,
  twinOf: (value: Value) => Value,
  twins: Map<Value, Value>,
): Node {
  const { op, domain, attributes } = node;
  const twin = node.graph.add(
    op,
    node.inputs.map((input) => input && twinOf(input)),
    {
      ...{ name: `${node.name}/${suffix}`, domain, attributes },
      outputs: node.outputs.map(({ name }) => `${name}/${suffix}`),
    },
  );
  inferNode(twin);
  for (const [i, output] of node.outputs.entries()) twins.set(output, twin.outputs[i]);
  return twin;
}
