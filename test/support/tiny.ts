/** @file Tiny ONNX models for tests, built from protobuf messages without the code in src/onnx. */
import { create, toBinary } from "@bufbuild/protobuf";
import { AttributeProto_AttributeType, ModelProtoSchema } from "onnx-buf";
import { type DType, dtypes } from "../../src/ir/dtype.ts";

export interface TinyPort {
  name: string;
  dtype?: DType;
  dims: readonly (number | string)[];
}

export interface TinyNode {
  op: string;
  inputs: readonly string[];
  outputs: readonly string[];
  name?: string;
  /** Attributes that are integers or lists of them. */
  ints?: Readonly<Record<string, number | readonly number[]>>;
  /** Attributes that are floats. */
  floats?: Readonly<Record<string, number>>;
}

export interface TinyWeight {
  name: string;
  dtype?: DType;
  dims: readonly number[];
  data: ArrayBufferView;
  /** If given, the data are external, in the file of this path, at offset 0. */
  external?: string;
}

/** A graph to be written as an ONNX file. */
export interface Tiny {
  inputs: readonly TinyPort[];
  outputs: readonly TinyPort[];
  nodes: readonly TinyNode[];
  weights?: readonly TinyWeight[];
  opset?: number;
}

/** The bytes of an ONNX file with this graph. */
export function tinyModel({ inputs, outputs, nodes, weights = [], opset = 21 }: Tiny): Uint8Array {
  const model = create(ModelProtoSchema, {
    irVersion: 10n,
    opsetImport: [{ domain: "", version: BigInt(opset) }],
    graph: {
      name: "tiny",
      input: inputs.map(valueInfo),
      output: outputs.map(valueInfo),
      node: nodes.map((node, i) => ({
        opType: node.op,
        name: node.name ?? `${node.op}_${i}`,
        input: [...node.inputs],
        output: [...node.outputs],
        attribute: [
          ...Object.entries(node.ints ?? {}).map(([name, value]) =>
            typeof value === "number"
              ? { name, type: AttributeProto_AttributeType.INT, i: BigInt(value) }
              : { name, type: AttributeProto_AttributeType.INTS, ints: value.map(BigInt) },
          ),
          ...Object.entries(node.floats ?? {}).map(([name, f]) => ({
            name,
            type: AttributeProto_AttributeType.FLOAT,
            f,
          })),
        ],
      })),
      initializer: weights.map(({ name, dtype = "float32", dims, data, external }) => ({
        name,
        dataType: dtypes[dtype].code,
        dims: dims.map(BigInt),
        ...(external
          ? {
              dataLocation: 1,
              externalData: [
                { key: "location", value: external },
                { key: "offset", value: "0" },
                { key: "length", value: String(data.byteLength) },
              ],
            }
          : { rawData: bytesOf(data) }),
      })),
    },
  });
  return toBinary(ModelProtoSchema, model);
}

/** A model with one node, y = Identity(x), both of the given type and dims. */
export function identity(dtype: DType, dims: readonly (number | string)[] = ["N"]): Uint8Array {
  return tinyModel({
    inputs: [{ name: "x", dtype, dims }],
    outputs: [{ name: "y", dtype, dims }],
    nodes: [{ op: "Identity", inputs: ["x"], outputs: ["y"] }],
  });
}

/**
 * A linear classifier: y = x W + b with x [batch, features], W [features, classes], b [classes].
 * `more` are nodes after it, the last of which gives `output`.
 */
export function linear(
  W: Float32Array,
  b: Float32Array,
  batch: number | string = "N",
  more: readonly TinyNode[] = [],
  output = "y",
): Uint8Array {
  const classes = b.length;
  const features = W.length / classes;
  return tinyModel({
    inputs: [{ name: "x", dims: [batch, features] }],
    outputs: [{ name: output, dims: [batch, classes] }],
    nodes: [{ op: "Gemm", inputs: ["x", "W", "b"], outputs: ["y"] }, ...more],
    weights: [
      { name: "W", dims: [features, classes], data: W },
      { name: "b", dims: [classes], data: b },
    ],
  });
}

function valueInfo({ name, dtype = "float32", dims }: TinyPort) {
  const dim = (d: number | string) =>
    typeof d === "number"
      ? { value: { case: "dimValue" as const, value: BigInt(d) } }
      : { value: { case: "dimParam" as const, value: d } };
  return {
    name,
    type: {
      value: {
        case: "tensorType" as const,
        value: { elemType: dtypes[dtype].code, shape: { dim: dims.map(dim) } },
      },
    },
  };
}

function bytesOf(view: ArrayBufferView): Uint8Array<ArrayBuffer> {
  return new Uint8Array(
    view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength) as ArrayBuffer,
  );
}
