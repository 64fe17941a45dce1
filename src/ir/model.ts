/** @file Model: a graph with its operator sets and metadata; its clone shares the tensors. */
import type { Attribute, Attributes } from "./attribute.ts";
import { Graph, type Value } from "./graph.ts";

/** A model in memory. */
export interface Model {
  readonly graph: Graph;
  /** Version of the ai.onnx operator set. Readers convert every model to `OPSET` or newer. */
  opset: number;
  /** Versions of the other operator sets, by domain. */
  readonly domains: Map<string, number>;
  irVersion: number;
  /** Name and version of the tool that wrote the file. */
  producer: string;
  /** Metadata properties of the file, by key. */
  readonly metadata: Map<string, string>;
}

/** A model around `graph`, as written by tersor. */
export function createModel(graph: Graph, opset: number): Model {
  return {
    graph,
    opset,
    domains: new Map(),
    irVersion: 10,
    producer: "tersor",
    metadata: new Map(),
  };
}

/** A copy to edit. Nodes and values are new; tensors, which are immutable, are shared. */
export function cloneModel(model: Model): Model {
  return {
    ...model,
    graph: cloneGraph(model.graph, new Map()),
    domains: new Map(model.domains),
    metadata: new Map(model.metadata),
  };
}

/**
 * A copy of a graph. `values` maps the values that are copied already, so that bodies find the
 * copies of the outer values they capture.
 */
export function cloneGraph(graph: Graph, values: Map<Value, Value>): Graph {
  const copy = new Graph(graph.name);
  for (const input of graph.inputs) copy.inputs.push(twinOf(input, graph, copy, values));
  copyNodes(graph, copy, values);
  copy.setOutputs(graph.outputs.map((output) => twinOf(output, graph, copy, values)));
  return copy;
}

/** Adds copies of all constants and nodes of `graph` to `into`, which may have nodes of its own. */
export function copyNodes(graph: Graph, into: Graph, values: Map<Value, Value>): void {
  const copyOf = (value: Value): Value => twinOf(value, graph, into, values);
  for (const constant of graph.constants) {
    if (constant.tensor) into.setConstant(copyOf(constant), constant.tensor);
  }
  // Outputs are copied first, because in an unsorted graph a body may capture values of later
  // nodes.
  for (const node of graph.nodes) for (const output of node.outputs) copyOf(output);
  for (const node of graph.nodes) {
    into.add(
      node.op,
      node.inputs.map((input) => input && copyOf(input)),
      {
        name: node.name,
        domain: node.domain,
        attributes: cloneAttributes(node.attributes, values),
        outputs: node.outputs.map(copyOf),
      },
    );
  }
}

/** The copy of a value, made when it is first needed. */
function twinOf(value: Value, graph: Graph, copy: Graph, values: Map<Value, Value>): Value {
  let twin = values.get(value);
  // A value captured from outside of what is cloned is not copied.
  if (!twin && value.graph !== graph) return value;
  if (!twin) {
    twin = copy.addValue(value.name);
    twin.dtype = value.dtype;
    twin.shape = value.shape;
    twin.opaqueType = value.opaqueType;
    values.set(value, twin);
  }
  return twin;
}

function cloneAttributes(attributes: Attributes, values: Map<Value, Value>): Attributes {
  const copyOf = (attribute: Attribute): Attribute => {
    const { type, value } = attribute;
    if (type === "graph") return { type, value: cloneGraph(value, values) };
    if (type === "graphs") return { type, value: value.map((g) => cloneGraph(g, values)) };
    return attribute;
  };
  // Not by assignments, to which the name `__proto__` would be no property.
  return Object.fromEntries(
    Object.entries(attributes).map(([name, attribute]) => [name, copyOf(attribute)]),
  );
}
