/** @file Finds the tensors in an ONNX file's bytes that a delta may refer to. */
import { sha256 } from "../../util/sha256.ts";
import { DecodeError } from "../decode/error.ts";
import { type Base, BaseError, KEY } from "./difference.ts";

/** Tensors of fewer bytes are not worth a reference. */
export const LEAST = 2 * KEY;

/** The key of a tensor: the first 16 bytes of the SHA-256 of its raw_data, in hexadecimal. */
export async function keyOf(bytes: Uint8Array): Promise<string> {
  return (await sha256(bytes)).slice(0, 2 * KEY);
}

/** The base of these tensors. */
export async function baseOf(tensors: Iterable<Uint8Array>): Promise<Base> {
  if (!globalThis.crypto?.subtle) {
    throw new DecodeError("a base needs crypto.subtle, which a page has over https only");
  }
  const base = new Map<string, Uint8Array>();
  for (const bytes of tensors) if (bytes.length >= LEAST) base.set(await keyOf(bytes), bytes);
  return base;
}

/** A message of onnx.proto: the fields on the way to tensors, by number; 0 for a tensor's data. */
type Fields = { readonly [number: number]: Fields | 0 };

const tensor: Fields = { 9: 0 };
const graph: { [number: number]: Fields } = { 5: tensor };
graph[1] = { 5: { 5: tensor, 6: graph, 10: tensor, 11: graph } };
const model: Fields = { 7: graph };

/**
 * The raw_data of an ONNX file's tensors: initializers, and constants of nodes. Throws DecodeError
 * for bytes that are no protobuf message.
 */
export function* tensorsOf(bytes: Uint8Array, fields = model, depth = 0): Generator<Uint8Array> {
  let at = 0;
  const take = (count: number): Uint8Array => {
    if (!(count <= bytes.length - at)) throw new BaseError("the base is no ONNX file");
    at += count;
    return bytes.subarray(at - count, at);
  };
  const varint = (): number => {
    for (let value = 0, scale = 1; scale < 2 ** 70; scale *= 128) {
      const [byte] = take(1);
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    throw new BaseError("the base is no ONNX file");
  };
  while (at < bytes.length) {
    const key = varint();
    const [number, wire] = [Math.floor(key / 8), key % 8];
    if (wire === 0) varint();
    else if (wire === 1 || wire === 5) take(wire === 1 ? 8 : 4);
    else if (wire === 2 && depth < 100) {
      const value = take(varint());
      const inner = Object.hasOwn(fields, number) ? fields[number] : null;
      if (inner === 0) yield value;
      else if (inner) yield* tensorsOf(value, inner, depth + 1);
    } else throw new BaseError("the base is no ONNX file");
  }
}
