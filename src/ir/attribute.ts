/** @file Attribute: a typed attribute of an ONNX node. */
import type { Graph } from "./graph.ts";
import type { Tensor } from "./tensor.ts";

/**
 * A value with its type. Ints are JavaScript numbers. ONNX uses ints beyond 2^53 only to mean "to
 * the end"; they saturate at the limits of int64 when they are written.
 */
export type Attribute =
  | { readonly type: "float"; readonly value: number }
  | { readonly type: "int"; readonly value: number }
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "tensor"; readonly value: Tensor }
  | { readonly type: "graph"; readonly value: Graph }
  | { readonly type: "floats"; readonly value: readonly number[] }
  | { readonly type: "ints"; readonly value: readonly number[] }
  | { readonly type: "strings"; readonly value: readonly string[] }
  | { readonly type: "tensors"; readonly value: readonly Tensor[] }
  | { readonly type: "graphs"; readonly value: readonly Graph[] }
  /** Values that tersor does not use (type protos, strings of bytes), kept as protobuf messages. */
  | { readonly type: "opaque"; readonly value: unknown };

export type Attributes = Readonly<Record<string, Attribute>>;
export type AttributeType = Attribute["type"];
