/** @file Attribute: a typed ONNX attribute value. */
import type { Graph } from "./graph.ts";
import type { Tensor } from "./tensor.ts";

/** ints are JavaScript numbers; those beyond 2^53 are only ever "to the end" markers and saturate. */
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
  /** Types tersor does not look into (type protos, sparse tensors): kept as protobuf messages. */
  | { readonly type: "opaque"; readonly value: unknown };

export type Attributes = Readonly<Record<string, Attribute>>;
export type AttributeType = Attribute["type"];
