/**
 * @file Adapter: rewrites a node of one operator for the ai.onnx operator set that
 * changed the operator.
 */
import type { Attributes } from "../ir/attribute.ts";
import type { DType } from "../ir/dtype.ts";
import type { Dim, Node, Value } from "../ir/graph.ts";
import { type Builder, build } from "../ops/builder.ts";

/**
 * What is known of values while an old model is upgraded; null where nothing is. Some
 * rewrites depend on it.
 */
export interface Facts {
  rank(value: Value | null | undefined): number | null;
  dtype(value: Value | null | undefined): DType | null;
  shape(value: Value | null | undefined): readonly Dim[] | null;
}

/** One change of one operator. */
export interface Adapter {
  /** The adapter applies to nodes of operator sets older than this one. */
  readonly before: number;
  /**
   * Rewrites the node and returns the node for the next adapter. Throws an Error that
   * says why it cannot.
   */
  apply(node: Node, facts: Facts): Node;
}

/** By operator, the adapters in ascending order of `before`. */
export type Adapters = Readonly<Record<string, readonly Adapter[]>>;

/** A builder for the nodes that a rewrite of `node` adds before or after it. */
export function around(node: Node): Builder {
  return build(node.graph, node.name);
}

/** Puts another operator in a node's place, with its name and its outputs or some of them. */
export function become(
  node: Node,
  op: string,
  inputs: readonly (Value | null)[],
  attributes: Attributes,
  outputs: readonly Value[] = node.outputs,
): Node {
  const { graph, name } = node;
  // Bodies in `attributes` are kept: graph.remove would dispose of those that the node still has.
  node.attributes = {};
  graph.remove(node);
  return graph.add(op, inputs, { name, attributes, outputs });
}

/** The first input, which nearly every operator needs. Throws where it is missing. */
export const firstInput = (node: Node): Value => {
  const [input] = node.inputs;
  if (!input) throw new Error("its first input is missing");
  return input;
};

/** The attributes except those of the given names. */
export function without(attributes: Attributes, ...names: string[]): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([name]) => !names.includes(name)));
}

/**
 * The attribute `name`, such as `axes = [0, 2]`, became an int64 constant at input `index`. Where
 * the attribute is absent, the input is.
 */
export function attributeToInput(before: number, name: string, index: number): Adapter {
  return {
    before,
    apply(node) {
      const values = node.ints(name);
      node.set(name, null);
      if (values) node.setInput(index, around(node).ints(values, name));
      return node;
    },
  };
}

/** The attributes lost their meaning, or say what became the only behaviour. */
export function dropAttributes(before: number, ...names: string[]): Adapter {
  return {
    before,
    apply(node) {
      node.attributes = without(node.attributes, ...names);
      return node;
    },
  };
}

/** The default of an attribute changed: the old one is written where a node relies on it. */
export function spellDefault(before: number, name: string, attribute: Attributes[string]): Adapter {
  return {
    before,
    apply(node) {
      if (!node.attributes[name]) node.set(name, attribute);
      return node;
    },
  };
}
