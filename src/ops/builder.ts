/** @file Typed builder: `g.Conv(x, w, b, { pads: [1, 1, 1, 1] })` adds a node to a graph. */
import type { Attribute } from "../ir/attribute.ts";
import type { DType, TypedArray } from "../ir/dtype.ts";
import type { Graph, Node, Value } from "../ir/graph.ts";
import { Tensor, tensor } from "../ir/tensor.ts";
import { type OpName, type OpSchema, schemaOf } from "./schema.ts";
import type { schemaTable } from "./schema-table.ts";

/** The plain TypeScript type of each kind of attribute. */
interface Plain {
  float: number;
  int: number;
  string: string;
  tensor: Tensor;
  graph: Graph;
  floats: readonly number[];
  ints: readonly number[];
  strings: readonly string[];
  sparse_tensor: unknown;
  type_proto: unknown;
}
type Table = typeof schemaTable;
/** The attributes of operator K as plain values, all optional. */
type AttributesOf<K extends OpName> = {
  readonly [A in keyof Table[K]["attributes"]]?: Table[K]["attributes"][A] extends {
    readonly type: infer T extends keyof Plain;
  }
    ? Plain[T]
    : never;
};

export type Input = Value | null | undefined;

/** One method per operator of the schema: inputs first, then optionally the attributes. */
type Ops = {
  readonly [K in OpName]: (...args: readonly (Input | AttributesOf<K>)[]) => Value;
};

/** Adds nodes and constants to a graph. */
export interface Builder extends Ops {
  readonly graph: Graph;
  /** An initializer. Arrays and numbers become float32 unless `dtype` says otherwise. */
  constant(
    values: Tensor | TypedArray | readonly number[] | number,
    options?: {
      readonly dtype?: DType;
      readonly shape?: readonly number[];
      readonly name?: string;
    },
  ): Value;
  /** An int64 vector: a shape, axes, pads, sizes of a split. */
  ints(values: readonly number[], name?: string): Value;
  /** A node with several outputs, or of another domain than ai.onnx. */
  many(
    op: string,
    inputs: readonly Input[],
    options: {
      readonly outputs: number;
      readonly attributes?: Readonly<Record<string, unknown>>;
      readonly domain?: string;
    },
  ): readonly Value[];
}

/**
 * A builder for a graph. `prefix` starts the names of everything that is added, such as the
 * name of the layer that is rewritten. `added` is called with each new node, for instance
 * to infer its types.
 *
 * Methods for operators throw an Error for an attribute that the operator does not have.
 */
export function build(graph: Graph, prefix = "", added: (node: Node) => void = () => {}): Builder {
  const nameOf = (op: string): string => (prefix ? `${prefix}/${op}` : op);

  const many: Builder["many"] = (op, inputs, options) => {
    const name = nameOf(op);
    const node = graph.add(
      op,
      inputs.map((input) => input ?? null),
      {
        name,
        domain: options.domain ?? "",
        attributes: toAttributes(op, options.attributes ?? {}, options.domain ?? ""),
        outputs: Array.from({ length: options.outputs }, (_, i) =>
          i === 0 ? name : `${name}_${i}`,
        ),
      },
    );
    added(node);
    return node.outputs;
  };

  const constant: Builder["constant"] = (values, options = {}) => {
    const value =
      values instanceof Tensor
        ? values
        : tensor(
            options.dtype ?? "float32",
            options.shape ?? (typeof values === "number" ? [] : [values.length]),
            values,
          );
    return graph.addConstant(nameOf(options.name ?? "constant"), value);
  };

  const ints: Builder["ints"] = (values, name = "ints") =>
    constant(values, { dtype: "int64", name });

  const fixed = { graph, many, constant, ints };
  return new Proxy(fixed, {
    get(target, key) {
      if (typeof key !== "string" || key in target) return Reflect.get(target, key);
      return (...args: unknown[]): Value => {
        const last = args.at(-1);
        const plain = isPlain(last) ? (args.pop() as Record<string, unknown>) : {};
        return many(key, args as Input[], { outputs: 1, attributes: plain })[0];
      };
    },
  }) as unknown as Builder;
}

/** Whether the last argument of a call is an object of attributes and not an input. */
function isPlain(arg: unknown): boolean {
  return typeof arg === "object" && arg !== null && Object.getPrototypeOf(arg) === Object.prototype;
}

/**
 * Typed attributes from plain values, by the operator's schema; for other domains by
 * the values' types.
 */
function toAttributes(
  op: string,
  plain: Readonly<Record<string, unknown>>,
  domain: string,
): Record<string, Attribute> {
  const schema = domain === "" ? schemaOf(op) : undefined;
  const attributes: Record<string, Attribute> = {};
  for (const [name, value] of Object.entries(plain)) {
    if (value === undefined) continue;
    const type = schema ? declaredType(schema, op, name) : guessType(value);
    attributes[name] = { type, value } as Attribute;
  }
  return attributes;
}

function declaredType(schema: OpSchema, op: string, name: string): string {
  const type = schema.attributes[name]?.type;
  if (!type) throw new Error(`${op} has no attribute ${name}`);
  return type;
}

function guessType(value: unknown): string {
  if (Array.isArray(value)) return typeof value[0] === "string" ? "strings" : "ints";
  if (value instanceof Tensor) return "tensor";
  if (typeof value === "string") return "string";
  return Number.isInteger(value) ? "int" : "float";
}
