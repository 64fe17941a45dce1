/** @file An ONNX file as a tree of protobuf fields: nothing is lost, not even fields we do not know. */
import type { DescMessage } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { ModelProtoSchema } from "onnx-buf";
import { errors, fail } from "../errors.ts";

export interface Message {
  /** "NodeProto". */
  readonly type: string;
  readonly fields: readonly Field[];
}

export interface Field {
  /** As in onnx.proto; "" where the schema does not know it. */
  readonly name: string;
  readonly number: number;
  readonly wire: number;
  /** The value as it is in the file; without the length where it has one. */
  readonly bytes: Uint8Array;
  /** Null for plain values, and for tensors, which have a reader of their own. */
  readonly message: Message | null;
  readonly isTensor: boolean;
}

/** What recursion bears, here and in whoever walks the tree. */
const maxDepth = 90;

/** Throws TersorError "not-a-model". */
export function readTree(bytes: Uint8Array, where: string): Message {
  try {
    return readMessage(bytes, ModelProtoSchema, 0);
  } catch (cause) {
    throw fail(errors.notAModel(where, (cause as Error).message), cause);
  }
}

/** The fields of a message that is a leaf in the tree. */
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

/** Fields of that name, in the file's order. */
export function all(message: Message | null, name: string): Field[] {
  return message?.fields.filter((field) => field.name === name) ?? [];
}

/** The last one counts, as in protobuf. */
export function one(message: Message | null, name: string): Field | undefined {
  return all(message, name).at(-1);
}

const utf8 = new TextDecoder();

export function textOf(field: Field | undefined): string {
  return field ? utf8.decode(field.bytes) : "";
}
