/** @file Reads an ONNX file as a tree of protobuf fields, in which unknown fields are kept, too. */
import type { DescMessage } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { ModelProtoSchema } from "onnx-buf";
import { errors, fail } from "../errors.ts";

/** A message with its fields in the file's order. */
export interface Message {
  /** The name of its type, such as "NodeProto". */
  readonly type: string;
  readonly fields: readonly Field[];
}

/** A field of a message. */
export interface Field {
  /** The name in onnx.proto, "" for an unknown field. */
  readonly name: string;
  readonly number: number;
  readonly wire: number;
  /** The value as in the file, without its length if it has one. */
  readonly bytes: Uint8Array;
  /** The value as a message; null for plain values, and for tensors (see tensor-proto.ts). */
  readonly message: Message | null;
  readonly isTensor: boolean;
}

/**
 * How deep messages may nest, so that recursion here and in callers does not overflow the stack.
 */
const maxDepth = 90;

/** The tree of a model. Throws TersorError "not-a-model". */
export function readTree(bytes: Uint8Array, where: string): Message {
  try {
    return readMessage(bytes, ModelProtoSchema, 0);
  } catch (cause) {
    throw fail(errors.notAModel(where, (cause as Error).message), cause);
  }
}

/** The fields of a message that is a leaf of the tree, such as a tensor. */
export function readFields(bytes: Uint8Array, schema: DescMessage): readonly Field[] {
  return readMessage(bytes, schema, 0).fields;
}

function readMessage(bytes: Uint8Array, schema: DescMessage, depth: number): Message {
  if (depth > maxDepth) throw new Error(`its messages nest over ${maxDepth} deep`);
  const known = fieldsOf(schema);
  const reader = new BinaryReader(bytes);
  const fields: Field[] = [];
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    const { name = "", message = null } = known.get(number) ?? {};
    const start = reader.pos;
    let value: Uint8Array;
    if (wire === WireType.LengthDelimited) value = reader.bytes();
    else {
      reader.skip(wire);
      value = bytes.subarray(start, reader.pos);
    }
    const isMessage = message !== null && wire === WireType.LengthDelimited;
    const isTensor = isMessage && message.name === "TensorProto";
    fields.push({
      name,
      number,
      wire,
      bytes: value,
      message: isMessage && !isTensor ? readMessage(value, message, depth + 1) : null,
      isTensor,
    });
  }
  return { type: schema.name, fields };
}

/** The fields of a message type by their numbers. */
type Known = ReadonlyMap<number, { name: string; message: DescMessage | null }>;
const tables = new Map<DescMessage, Known>();

function fieldsOf(schema: DescMessage): Known {
  const ready = tables.get(schema);
  if (ready) return ready;
  const table = new Map(
    schema.fields.map((f) => [f.number, { name: f.name, message: f.message ?? null }]),
  );
  tables.set(schema, table);
  return table;
}

/** The fields of that name, in the file's order. */
export function all(message: Message | null, name: string): Field[] {
  return message?.fields.filter((field) => field.name === name) ?? [];
}

/** The field of that name. If it occurs several times, the last one counts, as in protobuf. */
export function one(message: Message | null, name: string): Field | undefined {
  return all(message, name).at(-1);
}

const utf8 = new TextDecoder();

export function textOf(field: Field | undefined): string {
  return field ? utf8.decode(field.bytes) : "";
}
