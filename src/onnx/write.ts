/**
 * @file Writes a Model to ONNX bytes, as a list of chunks, so that weights are never
 * copied into one buffer.
 */
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import {
  type AttributeProto,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProtoSchema,
  AttributeProto_AttributeType as Type,
  type TypeProto,
  TypeProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "onnx-buf";
import type { Attribute } from "../ir/attribute.ts";
import { dtypes } from "../ir/dtype.ts";
import type { Graph, Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { assignNames, type Names } from "../ir/names.ts";
import type { Tensor } from "../ir/tensor.ts";
import { sameBytes } from "../util/bytes.ts";

/**
 * Bytes in pieces, which are the file when they are joined. Tensors that are still in a file are read
 * when their piece comes, so `chunks` may be walked again, but pieces should not be kept.
 */
export interface Chunks {
  readonly chunks: Iterable<Uint8Array>;
  readonly byteLength: number;
}

/** The same, as it is put together: a tensor stands for its bytes. */
interface Pieces {
  readonly pieces: readonly (Uint8Array | Tensor)[];
  readonly byteLength: number;
}

export interface WriteOptions {
  /**
   * Moves weights of `threshold` bytes or more (default 1024) into a second file. `path` is that
   * file's name beside the model. What would make it larger than `most` bytes (default: no limit)
   * goes on in `path`_1, `path`_2 ...; a weight is never divided.
   */
  readonly external?: {
    readonly path: string;
    readonly threshold?: number;
    readonly most?: number;
  };
  /** Whether to write the inferred types of inner values (default false, for smaller files). */
  readonly valueInfo?: boolean;
}

export interface Written extends Chunks {
  /** The file of external data, or null if no weight is in one. */
  readonly external: (Chunks & { readonly path: string }) | null;
  /** Further files of external data, where a size was given that none may exceed. */
  readonly shards?: readonly (Chunks & { readonly path: string })[];
}

/**
 * Writes a model. A protobuf message can have at most 2 GiB; larger models need `external`,
 * otherwise a RangeError is thrown.
 */
export function writeModel(model: Model, options: WriteOptions = {}): Written {
  const external = options.external ? createExternal(options.external) : null;
  const writer = createWriter(assignNames(model.graph), external, options.valueInfo ?? false);
  const graph = writer.graph(model.graph);
  if (graph.byteLength > 2 ** 31 - 1024) {
    throw new RangeError("the model is past protobuf's 2 GiB: write it with external data");
  }
  const opsetImport = [["", model.opset] as const, ...model.domains].map(([domain, version]) => ({
    domain,
    version: BigInt(version),
  }));
  const head = toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion: BigInt(model.irVersion),
      producerName: model.producer,
      opsetImport,
      metadataProps: [...model.metadata].map(([key, value]) => ({ key, value })),
    }),
  );
  const [first = null, ...shards] = external?.finish() ?? [];
  return {
    ...chunksOf(join([head], field(7, graph))),
    external: first,
    ...(shards.length > 0 && { shards }),
  };
}

function chunksOf({ pieces, byteLength }: Pieces): Chunks {
  const chunks = {
    *[Symbol.iterator]() {
      for (const piece of pieces) yield piece instanceof Uint8Array ? piece : piece.bytes();
    },
  };
  return { chunks, byteLength };
}

/** Weights of more bytes in all go into a second file, because protobuf ends at 2 GiB. */
const MOST = 2 ** 31 - 2 ** 26;

/**
 * Writes a model as the file `name`; its weights go into `name`.data where they are too many for one
 * file.
 */
export function writeFile(model: Model, name = "model.onnx"): Written {
  let bytes = 0;
  for (const graph of model.graph.walk()) {
    for (const { tensor, uses } of graph.constants)
      if (uses.size > 0) bytes += tensor?.byteLength ?? 0;
  }
  return writeModel(model, bytes > MOST ? { external: { path: `${name}.data` } } : {});
}

/** The bytes of all files. */
export const bytesOf = ({ byteLength, external, shards = [] }: Written): number =>
  [external, ...shards].reduce((sum, file) => sum + (file?.byteLength ?? 0), byteLength);

/** Whether two written models are the same files. */
export function sameFiles(a: Written, b: Written): boolean {
  const [left, right] = [a.external, b.external];
  return left && right
    ? sameChunks(a, b) && sameChunks(left, right)
    : !left && !right && sameChunks(a, b);
}

function sameChunks(a: Chunks, b: Chunks): boolean {
  if (a.byteLength !== b.byteLength) return false;
  const rest = b.chunks[Symbol.iterator]();
  let other: Uint8Array = new Uint8Array(0);
  for (let chunk of a.chunks) {
    while (chunk.length > 0) {
      while (other.length === 0) other = rest.next().value as Uint8Array;
      const length = Math.min(chunk.length, other.length);
      if (!sameBytes(chunk.subarray(0, length), other.subarray(0, length))) return false;
      [chunk, other] = [chunk.subarray(length), other.subarray(length)];
    }
  }
  return true;
}

/** The chunks in one buffer, for what needs one, such as the engine. */
export function concat({ chunks, byteLength }: Chunks): Uint8Array {
  const bytes = new Uint8Array(byteLength);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return bytes;
}

/** A file of external data that is being filled. */
interface External {
  /**
   * Adds a tensor and returns its entries for TensorProto; null if it is small enough to
   * stay in the model.
   */
  place(tensor: Tensor): { key: string; value: string }[] | null;
  finish(): (Chunks & { path: string })[];
}

/** Tensors start at multiples of 64 bytes, so that a mapped file can be viewed as typed arrays. */
function createExternal(options: NonNullable<WriteOptions["external"]>): External {
  const { path, threshold = 1024, most = Number.POSITIVE_INFINITY } = options;
  const files: { readonly path: string; pieces: (Uint8Array | Tensor)[]; byteLength: number }[] =
    [];
  return {
    place(tensor) {
      if (tensor.strings || tensor.byteLength < threshold) return null;
      let file = files.at(-1);
      const padding = (64 - ((file?.byteLength ?? 0) % 64)) % 64;
      if (!file || file.byteLength + padding + tensor.byteLength > most) {
        const name = files.length === 0 ? path : `${path}_${files.length}`;
        file = { path: name, pieces: [], byteLength: 0 };
        files.push(file);
      } else if (padding > 0) {
        file.pieces.push(new Uint8Array(padding));
        file.byteLength += padding;
      }
      const start = file.byteLength;
      file.pieces.push(tensor);
      file.byteLength += tensor.byteLength;
      return [
        { key: "location", value: file.path },
        { key: "offset", value: String(start) },
        { key: "length", value: String(tensor.byteLength) },
      ];
    },
    finish: () => files.map((file) => ({ path: file.path, ...chunksOf(file) })),
  };
}

/** Writes the messages inside a model. The field numbers are those of onnx.proto. */
function createWriter(names: Names, external: External | null, valueInfo: boolean) {
  const valueName = (value: Value | null): string => (value ? (names.values.get(value) ?? "") : "");

  function graph(graph: Graph): Pieces {
    const describe = (value: Value): ValueInfoProto =>
      create(ValueInfoProtoSchema, { name: valueName(value), ...typeOf(value) });
    const inner = valueInfo
      ? [...graph.nodes].flatMap((node) =>
          node.outputs.filter((o) => o.dtype && o.shape && !o.isOutput),
        )
      : [];
    const head = create(GraphProtoSchema, {
      name: graph.name,
      input: graph.inputs.map(describe),
      output: graph.outputs.map(describe),
      valueInfo: inner.map(describe),
    });
    const parts = [join([toBinary(GraphProtoSchema, head)])];
    for (const node of graph.sorted()) parts.push(field(1, nodeChunks(node)));
    for (const value of graph.constants) {
      if (value.uses.size === 0 || !value.tensor) continue;
      parts.push(field(5, tensorChunks(value.tensor, valueName(value))));
    }
    return join(...parts);
  }

  function nodeChunks(node: Node): Pieces {
    const head = create(NodeProtoSchema, {
      name: names.nodes.get(node) ?? node.name,
      opType: node.op,
      domain: node.domain,
      input: node.inputs.map(valueName),
      output: node.outputs.map(valueName),
    });
    const attributes = Object.entries(node.attributes).map(([name, attribute]) =>
      field(5, attributeChunks(name, attribute)),
    );
    return join([toBinary(NodeProtoSchema, head)], ...attributes);
  }

  function attributeChunks(name: string, attribute: Attribute): Pieces {
    const head = toBinary(
      AttributeProtoSchema,
      create(AttributeProtoSchema, { name, ...attributeFields(attribute) }),
    );
    switch (attribute.type) {
      case "tensor":
        return join([head], field(5, tensorChunks(attribute.value, "", false)));
      case "tensors":
        return join([head], ...attribute.value.map((t) => field(10, tensorChunks(t, "", false))));
      case "graph":
        return join([head], field(6, graph(attribute.value)));
      case "graphs":
        return join([head], ...attribute.value.map((g) => field(11, graph(g))));
      default:
        return join([head]);
    }
  }

  function tensorChunks(tensor: Tensor, name: string, mayMove = true): Pieces {
    const externalData = mayMove ? external?.place(tensor) : null;
    const head = toBinary(
      TensorProtoSchema,
      create(TensorProtoSchema, {
        name,
        dims: tensor.shape.map(BigInt),
        dataType: dtypes[tensor.dtype].code,
        ...(externalData ? { externalData, dataLocation: 1 } : {}),
        ...(tensor.strings ? { stringData: tensor.strings.map(encodeText) } : {}),
      }),
    );
    if (externalData || tensor.strings) return join([head]);
    return join([head], field(9, join([tensor])));
  }

  return { graph };
}

function attributeFields(attribute: Attribute): MessageInitShape<typeof AttributeProtoSchema> {
  switch (attribute.type) {
    case "float":
      return { type: Type.FLOAT, f: attribute.value };
    case "int":
      return { type: Type.INT, i: int64(attribute.value) };
    case "string":
      return { type: Type.STRING, s: encodeText(attribute.value) };
    case "floats":
      return { type: Type.FLOATS, floats: [...attribute.value] };
    case "ints":
      return { type: Type.INTS, ints: attribute.value.map(int64) };
    case "strings":
      return { type: Type.STRINGS, strings: attribute.value.map(encodeText) };
    case "tensor":
      return { type: Type.TENSOR };
    case "tensors":
      return { type: Type.TENSORS };
    case "graph":
      return { type: Type.GRAPH };
    case "graphs":
      return { type: Type.GRAPHS };
    case "opaque": {
      const { $typeName: _, name: __, ...fields } = attribute.value as AttributeProto;
      return fields;
    }
  }
}

/** An int attribute. Values beyond int64 saturate: INT64_MAX ("to the end") was read as 2^63. */
function int64(x: number): bigint {
  if (x >= 2 ** 63) return 2n ** 63n - 1n;
  return x <= -(2 ** 63) ? -(2n ** 63n) : BigInt(Math.trunc(x));
}

function encodeText(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** The type of a value as far as it is known. */
function typeOf(value: Value): { type?: TypeProto } {
  if (value.opaqueType) return { type: value.opaqueType as TypeProto };
  if (!value.dtype) return {};
  const shape = value.shape && {
    dim: value.shape.map((dim) => ({
      value:
        typeof dim === "number"
          ? ({ case: "dimValue", value: BigInt(dim) } as const)
          : dim !== null
            ? ({ case: "dimParam", value: dim } as const)
            : ({ case: undefined } as const),
    })),
  };
  const tensorType = { elemType: dtypes[value.dtype].code, ...(shape ? { shape } : {}) };
  return { type: create(TypeProtoSchema, { value: { case: "tensorType", value: tensorType } }) };
}

/** A message as the field `number` of the enclosing message: key, length, content. */
function field(number: number, content: Pieces): Pieces {
  const head = new BinaryWriter().tag(number, WireType.LengthDelimited).uint32(content.byteLength);
  return join([head.finish()], content);
}

function join(...parts: readonly (Pieces | readonly (Uint8Array | Tensor)[])[]): Pieces {
  const pieces = parts.flatMap((part) => ("pieces" in part ? part.pieces : part));
  return { pieces, byteLength: pieces.reduce((sum, piece) => sum + piece.byteLength, 0) };
}
