/** @file The base of a delta: a model whose tensors another model's are coded against. */
import { fromBinary } from "@bufbuild/protobuf";
import { TensorProtoSchema } from "onnx-buf";
import { crc32 } from "../codec/decode/crc32.ts";
import { type BaseTensor, encodeCopy, encodeDifference } from "../codec/encode/difference.ts";
import { keyOf, LEAST } from "../codec/load/base.ts";
import { type Base, KEY } from "../codec/load/difference.ts";
import { encodeTensor, type Plain } from "../codec/tensor.ts";
import { sameBytes } from "../util/bytes.ts";
import { type Message, readTree } from "./proto-tree.ts";
import { readTensor, type TensorContext } from "./tensor-proto.ts";

/** A base, read for packing. */
export interface PackBase {
  readonly tensors: readonly BaseTensor[];
  /** The same tensors, for unpacking. */
  readonly base: Base;
}

/** Reads a base from the bytes of its ONNX file. Throws TersorError as `packModel` does. */
export async function readBase(model: Uint8Array, context: TensorContext): Promise<PackBase> {
  const plain = [...plainIn(readTree(model, context.where), context)];
  const large = plain.filter(({ bytes }) => bytes.length >= LEAST);
  const tensors: BaseTensor[] = [];
  for (const tensor of large) tensors.push({ ...tensor, key: await keyOf(tensor.bytes) });
  return { tensors, base: new Map(tensors.map(({ key, bytes }) => [key, bytes])) };
}

function* plainIn(message: Message, context: TensorContext): Generator<Plain> {
  for (const field of message.fields) {
    if (field.message) yield* plainIn(field.message, context);
    if (!field.isTensor) continue;
    const tensor = readTensor(fromBinary(TensorProtoSchema, field.bytes), context);
    const { dtype, shape: dims } = tensor;
    if (!tensor.strings) yield { dtype, dims, bytes: tensor.bytes() };
  }
}

/**
 * Codes tensors as `encodeTensor` does, or by what they share with the base where that is smaller. A
 * tensor is held against the one of the same type and dimensions that is nearest to it, so names do
 * not matter. Unless `exact`, differences of float32 matrices are rounded (encode/difference.ts).
 */
export function encodeOn({ tensors }: PackBase, exact: boolean): (tensor: Plain) => Uint8Array {
  const byContent = grouped(tensors, ({ bytes }) => crc32(bytes));
  const byShape = grouped(tensors, ({ dtype, dims }) => `${dtype} ${dims}`);
  return (tensor) => {
    const { dtype, dims, bytes } = tensor;
    const same = byContent.get(crc32(bytes))?.find((one) => sameBytes(one.bytes, bytes));
    // A small tensor may take fewer bytes than a reference.
    if (same && bytes.length > 4096) return encodeCopy(same);
    const plain = encodeTensor(tensor);
    const alike = byShape.get(`${dtype} ${dims}`) ?? [];
    const near = alike.length > 1 ? nearestOf(alike, tensor) : alike[0];
    if (same) return plain.length < KEY ? plain : encodeCopy(same);
    return (near && encodeDifference(near, bytes, plain.length, exact)) ?? plain;
  };
}

function grouped<T, K>(all: readonly T[], keyFor: (one: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const one of all) {
    const key = keyFor(one);
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return groups;
}

/** Elements, or bytes of other types than float32, by which tensors are compared. */
const SAMPLE = 4096;

/** The tensor with the smallest sum of absolute differences over a sample. */
function nearestOf(tensors: readonly BaseTensor[], { dtype, bytes }: Plain): BaseTensor {
  const numbers = (all: Uint8Array) =>
    dtype === "float32" ? new Float32Array(new Uint8Array(all).buffer) : all;
  const own = numbers(bytes);
  const step = Math.ceil(own.length / SAMPLE);
  const distances = tensors.map((tensor) => {
    const other = numbers(tensor.bytes);
    let sum = 0;
    for (let i = 0; i < own.length; i += step) sum += Math.abs(own[i] - other[i]);
    return Number.isNaN(sum) ? Infinity : sum;
  });
  return tensors[distances.indexOf(Math.min(...distances))];
}
