/**
 * @file Turns a model's tree into tokens for codec/graph.ts: what no engine needs is left out, and
 * names are replaced by references (docs/format.md).
 */
import { fromBinary } from "@bufbuild/protobuf";
import { TensorProtoSchema } from "onnx-buf";
import { coderOf } from "../codec/coder-name.ts";
import { pushVarint, wires } from "../codec/decode/graph.ts";
import { plausible } from "../codec/decode/limits.ts";
import type { Plain } from "../codec/tensor.ts";
import { type DType, dtypes } from "../ir/dtype.ts";
import { type Name, resolveNames } from "./pack-names.ts";
import { all, type Field, type Message, one, readFields, textOf } from "./proto-tree.ts";
import { readTensor, type TensorContext } from "./tensor-proto.ts";
import { concat } from "./write.ts";

/** A tensor that has a body of its own in the packed file. */
export interface PackedTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Bytes in the ONNX file. */
  readonly bytes: number;
  readonly body: Uint8Array;
  /** The coder of the body, for reports. */
  readonly coder: string;
}

export interface Tokens {
  readonly tokens: number[];
  /** The tensors in the order of their gaps. */
  readonly tensors: readonly PackedTensor[];
}

/** Fields that are left out: text for people, annotations, and what shape inference finds again. */
const dropped: ReadonlySet<string> = new Set([
  ...["ModelProto.producer_name", "ModelProto.producer_version", "ModelProto.training_info"],
  ...["GraphProto.value_info", "GraphProto.quantization_annotation", "FunctionProto.value_info"],
  ...["GraphProto", "FunctionProto", "NodeProto", "ValueInfoProto", "TensorProto"].map(
    (type) => `${type}.metadata_props`,
  ),
]);

/**
 * Fields that come first in their message, because they help to predict the fields after them.
 * protobuf allows any order.
 */
const leading: readonly string[] = [
  ...["ir_version", "opset_import"],
  ...["op_type", "domain", "input", "output", "attribute"],
  ...["name", "ref_attr_name", "type"],
];

/** Fields that are written even where the file has none, or not in their turn. */
const graphName = { number: 2 };
const anyName = new TextEncoder().encode("g");
const tensorFields = {
  dims: { number: 1 },
  data_type: { number: 2 },
  name: { number: 8 },
  raw_data: { number: 9 },
};

export interface TokenOptions extends TensorContext {
  /** Whether all names are kept. */
  readonly keepNames: boolean;
  /** Codes a tensor to its body. */
  readonly encode: (tensor: Plain) => Uint8Array;
  /** Bytes of tensors that a decoder allows beyond its limits: those of a base. */
  readonly spare: number;
}

/**
 * The tokens of a model, and the tensors that they refer to.
 * Throws TersorError "bad-tensor", "external-outside" or "missing-external".
 */
export function modelTokens(model: Message, options: TokenOptions): Tokens {
  const { keepNames, encode, spare } = options;
  const main = one(model, "graph")?.message as Message;
  const symbols = resolveNames(main, keepNames);
  const domains = domainsOf(model);
  const tokens: number[] = [];
  const tensors: PackedTensor[] = [];
  /** Names in the order of their first mention; later mentions count back from the newest. */
  const mentioned = new Map<Name, number>();
  const written = new Set<Name>();
  // Bytes of all tensors so far, before and after coding.
  let raw = 0;
  let coded = 0;

  type Numbered = Pick<Field, "number">;
  const key = ({ number }: Numbered, wire: number): void => pushVarint(tokens, number * 8 + wire);
  const push = (bytes: Uint8Array): void => {
    for (const byte of bytes) tokens.push(byte);
  };
  const writeText = (field: Numbered, bytes: Uint8Array, wire = 2): void => {
    key(field, wire);
    pushVarint(tokens, bytes.length);
    push(bytes);
  };
  const writeNumber = (field: Numbered, value: number): void => {
    key(field, 0);
    pushVarint(tokens, value);
  };
  const end = (): void => pushVarint(tokens, 0);

  /**
   * A name: in full when a kept one is mentioned first, otherwise as a reference. The reference 0
   * is the first mention of a generated name.
   */
  function writeName(field: Numbered, symbol: Name): void {
    const at = mentioned.get(symbol);
    const back = at === undefined ? 0 : mentioned.size - at;
    if (at === undefined) mentioned.set(symbol, mentioned.size);
    if (at === undefined && symbol.isKept) {
      writeText(field, new TextEncoder().encode(symbol.name), wires.newName);
    } else {
      key(field, wires.name);
      pushVarint(tokens, back);
    }
  }

  /** The fields of a message of type `type`, those in `leading` first. */
  function writeFields(type: string, fields: readonly Field[]): void {
    const rank = ({ name }: Field): number => leading.indexOf(name) + 1 || 99;
    const kept = fields.filter(
      ({ name }) => name !== "doc_string" && !dropped.has(`${type}.${name}`),
    );
    for (const field of kept.sort((a, b) => rank(a) - rank(b))) {
      if (type === "NodeProto" && field.name === "name" && !keepNames) continue;
      writeField(field);
    }
  }

  function writeField(field: Field): void {
    const { message, bytes, wire } = field;
    const symbol = symbols.get(field) ?? null;
    if (field.isTensor) writeTensor(field, symbol);
    else if (symbol) writeName(field, symbol);
    else if (message?.type === "GraphProto") writeGraph(field, message);
    else if (message) {
      if (message.type === "OperatorSetIdProto" && !domains.has(domainOf(message))) return;
      key(field, wires.message);
      writeFields(message.type, message.fields);
      end();
    } else if (wire === 2) writeText(field, bytes);
    else {
      key(field, wire);
      push(bytes);
    }
  }

  /**
   * A graph. An initializer is written before the first node that reads it, so that the node's
   * reference to its name is short.
   */
  function writeGraph(field: Field, graph: Message): void {
    key(field, wires.message);
    const own = ["name", "initializer", "node", "output"];
    const [named] = keepNames ? all(graph, "name") : [];
    writeText(graphName, named?.bytes ?? anyName);
    writeFields(
      graph.type,
      graph.fields.filter(({ name }) => !own.includes(name)),
    );
    for (const field of all(graph, "initializer")) if (!symbols.has(field)) writeField(field);
    const writeInitializer = (symbol: Name): void => {
      if (!symbol.initializer || symbol.graph !== graph || written.has(symbol)) return;
      written.add(symbol);
      writeTensor(symbol.initializer, symbol);
    };
    for (const node of all(graph, "node")) {
      for (const symbol of mentionedIn(node)) writeInitializer(symbol);
      writeField(node);
    }
    for (const field of all(graph, "initializer")) {
      const symbol = symbols.get(field);
      if (symbol && (symbol.isUsed || keepNames)) writeInitializer(symbol);
    }
    all(graph, "output").forEach(writeField);
    end();
  }

  /** The values that a node mentions, those in its bodies included. */
  function* mentionedIn(field: Field): Generator<Name> {
    const symbol = symbols.get(field);
    if (symbol) yield symbol;
    for (const inner of field.message?.fields ?? []) yield* mentionedIn(inner);
  }

  /**
   * A tensor. Its data stays in the graph if it has at most 64 bytes and coding does not shorten it
   * by more than 2; otherwise it becomes a gap with a body. Strings always stay.
   */
  function writeTensor(field: Field, symbol: Name | null): void {
    const proto = fromBinary(TensorProtoSchema, field.bytes, { readUnknownFields: false });
    const tensor = readTensor(proto, options);
    const { dims, data_type, name, raw_data } = tensorFields;
    key(field, wires.message);
    if (symbol) writeName(name, symbol);
    else if (field.name === "initializer" || keepNames) {
      writeText(name, new TextEncoder().encode(proto.name));
    }
    if (tensor.strings) {
      const fields = readFields(field.bytes, TensorProtoSchema);
      writeFields(
        "TensorProto",
        fields.filter(({ name }) => name !== "name"),
      );
      end();
      return;
    }
    for (const dim of tensor.shape) writeNumber(dims, dim);
    writeNumber(data_type, dtypes[tensor.dtype].code);
    const bytes = tensor.bytes();
    const { dtype, shape } = tensor;
    const body = bodyOf({ dtype, dims: shape, bytes });
    if (bytes.length <= 64 && bytes.length <= body.length + 2) writeText(raw_data, bytes);
    else {
      key(raw_data, wires.tensor);
      pushVarint(tokens, body.length);
      tensors.push({
        name: proto.name,
        dtype,
        shape,
        bytes: bytes.length,
        body,
        coder: coderOf(body),
      });
      raw += bytes.length;
      coded += body.length;
    }
    end();
  }

  /**
   * The body of a tensor. It is stored raw where a decoder would refuse the file, because it became
   * too small (decode/limits.ts).
   */
  function bodyOf(tensor: Plain): Uint8Array {
    const body = encode(tensor);
    const { bytes } = tensor;
    if (raw + bytes.length <= plausible(coded + body.length) + spare) return body;
    return concat({ chunks: [new Uint8Array(1), bytes], byteLength: bytes.length + 1 });
  }

  pushVarint(tokens, firstName(new Set(symbols.values())));
  writeFields(model.type, model.fields);
  end();
  return { tokens, tensors };
}

/** The operator set's domain in a message; "" for ai.onnx. */
const domainOf = (message: Message): string => {
  const domain = textOf(one(message, "domain"));
  return domain === "ai.onnx" ? "" : domain;
};

/** The domains of all operators in the model. Exporters often import more. */
function domainsOf(model: Message): Set<string> {
  const domains = new Set([""]);
  const visit = (message: Message): void => {
    if (message.type === "NodeProto" || message.type === "FunctionProto") {
      domains.add(domainOf(message));
    }
    for (const field of message.fields) if (field.message) visit(field.message);
  };
  visit(model);
  return domains;
}

/**
 * The number of the first generated name. Generated names are numbers in base 36 from there on, and
 * none may equal a kept name.
 */
function firstName(symbols: ReadonlySet<Name>): number {
  const kept = [...symbols].filter(({ isKept }) => isKept).map(({ name }) => name);
  const numbers = kept.filter((name) => /^[0-9a-z]{1,8}$/.test(name)).map((n) => parseInt(n, 36));
  const count = symbols.size;
  const isFree = (from: number): boolean => !numbers.some((n) => n >= from && n < from + count);
  return [0, ...numbers.map((n) => n + 1)].find(isFree) as number;
}
