/** @file Adapter: how one operator's node is rewritten for the operator set that changed it. */
import type { Attributes } from "../ir/attribute.ts";
import type { DType } from "../ir/dtype.ts";
import type { Dim, Node, Value } from "../ir/graph.ts";
import { type Builder, build } from "../ops/builder.ts";

/** What is known of values before an operator that depends on it is rewritten. */
export interface Facts {
  rank(value: Value | null | undefined): number | null;
  dtype(value: Value | null | undefined): DType | null;
  shape(value: Value | null | undefined): readonly Dim[] | null;
}

export interface Adapter {
  /** Applies to nodes of an operator set older than this one. */
  readonly before: number;
  /** Gives the node that goes on to later adapters. Throws an Error that says why it cannot. */
  apply(node: Node, facts: Facts): Node;
}

export type Adapters = Readonly<Record<string, readonly Adapter[]>>;

/** Builder for nodes that a rewrite of `node` adds around it. */
export function around(node: Node): Builder {
  return build(node.graph, node.name);
}

/** Another operator in the node's place, under its name and with its outputs (or some of them). */
export function become(
  node: Node,
  op: string,
  inputs: readonly (Value | null)[],
  attributes: Attributes,
  outputs: readonly Value[] = node.outputs,
): Node {
  const { graph, name } = node;
  // Bodies move on with `attributes`: removal must not dispose of them.
  node.attributes = {};
  graph.remove(node);
  return graph.add(op, inputs, { name, attributes, outputs });
}

/** What nearly every operator works on. */
export const firstInput = (node: Node): Value => {
  const [input] = node.inputs;
  if (!input) throw new Error("its first input is missing");
  return input;
};

/** The attributes without some of them. */
export function without(attributes: Attributes, ...names: string[]): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([name]) => !names.includes(name)));
}

/** `axes = [0, 2]` becomes an int64 constant at input `index`; an absent attribute an absent input. */
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

/** The attribute lost its meaning, or says what is now the only behaviour. */
export function dropAttributes(before: number, ...names: string[]): Adapter {
  return {
    before,
    apply(node) {
      node.attributes = without(node.attributes, ...names);
      return node;
    },
  };
}

/** A default that changed is written out where it was relied on. */
export function spellDefault(before: number, name: string, attribute: Attributes[string]): Adapter {
  return {
    before,
    apply(node) {
      if (!node.attributes[name]) node.set(name, attribute);
      return node;
    },
  };
}
