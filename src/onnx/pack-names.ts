/**
 * @file Resolves the names in a file to values, through the scopes of graphs and of the
 * bodies inside them.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { TensorProtoSchema } from "onnx-buf";
import { all, type Field, type Message, one, textOf } from "./proto-tree.ts";

/** A value of the main graph or of a body. */
export interface Name {
  readonly name: string;
  /** Whether the name must be kept, as a part of the model's interface. */
  readonly isKept: boolean;
  /** The graph that defines the value. */
  readonly graph: Message;
  /** The initializer that defines the value, if one does. */
  initializer: Field | null;
  /** Whether a node reads the value, or it belongs to a graph's interface. */
  isUsed: boolean;
}

/** The value of each field that holds a name; for an initializer, of the tensor's field. */
export type Names = ReadonlyMap<Field, Name>;

/** The names of a graph, and the scope of the enclosing graph. */
type Scope = { readonly names: Map<string, Name>; readonly outer: Scope | null };

/**
 * Resolves all names in the graph `main` and its bodies; with `keepAll` every name is kept. Names
 * inside functions are not resolved, so they stay as they are.
 */
export function resolveNames(main: Message, keepAll: boolean): Names {
  const symbols = new Map<Field, Name>();

  function resolveGraph(graph: Message, outer: Scope | null): void {
    const scope: Scope = { names: new Map(), outer };
    const ports = (kind: string) =>
      all(graph, kind).flatMap(({ message }) => one(message, "name") ?? []);
    const [inputs, outputs] = [ports("input"), ports("output")];
    const known = new Set(outer ? [] : [...inputs, ...outputs].map(textOf));
    const define = (field: Field, name: string): Name => {
      let symbol = scope.names.get(name);
      if (!symbol) {
        const isKept = keepAll || known.has(name);
        symbol = { name, isKept, graph, initializer: null, isUsed: known.has(name) };
        scope.names.set(name, symbol);
      }
      symbols.set(field, symbol);
      return symbol;
    };
    for (const field of inputs) define(field, textOf(field));
    for (const field of all(graph, "initializer")) {
      define(field, fromBinary(TensorProtoSchema, field.bytes).name).initializer = field;
    }
    for (const { message } of all(graph, "sparse_initializer")) {
      const values = one(message, "values");
      if (values) define(values, fromBinary(TensorProtoSchema, values.bytes).name);
    }
    const nodes = all(graph, "node").map(({ message }) => message as Message);
    for (const node of nodes) {
      for (const field of all(node, "output")) {
        if (field.bytes.length > 0) define(field, textOf(field));
      }
    }
    const use = (field: Field): void => {
      const name = textOf(field);
      if (name === "") return;
      let at: Scope | null = scope;
      while (at && !at.names.has(name)) at = at.outer;
      const symbol = at?.names.get(name);
      // The name of a value that nothing produces stays, so that the engine's error can show it.
      if (!symbol) return;
      symbol.isUsed = true;
      symbols.set(field, symbol);
    };
    for (const node of nodes) {
      all(node, "input").forEach(use);
      for (const { message } of all(node, "attribute")) {
        for (const body of [...all(message, "g"), ...all(message, "graphs")]) {
          resolveGraph(body.message as Message, scope);
        }
      }
    }
    outputs.forEach(use);
  }

  resolveGraph(main, null);
  return symbols;
}
