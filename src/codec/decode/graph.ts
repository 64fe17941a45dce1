/**
 * @file Reads a graph's tokens back into the protobuf bytes of an ONNX file, with a gap for each
 * tensor.
 *
 * A token is a protobuf key (8 x field number + wire type) and its value. Wire types 0, 1, 2 and 5
 * are those of protobuf; the others stand for a field of wire type 2 (docs/format.md):
 *
 *   wire  value                 meaning
 *   3     fields, then a 0      a message; its length is found by decoding it
 *   4     varint                a tensor, whose body has that many bytes
 *   6     varint n              the name mentioned n names ago; for n = 0 the next generated one
 *   7     varint length, bytes  a name that may be mentioned again
 */
import { DecodeError } from "./error.ts";
import { hash, type Place } from "./predictor.ts";
import { bitsOf } from "./tensor.ts";

/** The place of a tensor's bytes in the ONNX file. */
export interface Gap {
  readonly dtype: string;
  readonly dims: readonly number[];
  /** Bytes of the tensor in the ONNX file. */
  readonly byteLength: number;
  /** Bytes of the tensor's coded body. */
  readonly coded: number;
}

/** A piece of the ONNX file: bytes of the graph, or a tensor. */
export type Part = number[] | Gap;

/** Wire types beside protobuf's 0, 1, 2 and 5; ONNX does not use protobuf's groups, 3 and 4. */
export const wires = { message: 3, tensor: 4, name: 6, newName: 7 } as const;

/**
 * Element types by their code in ONNX's TensorProto.DataType. Strings (8) have no gap and no name
 * here.
 */
export const dtypeNames = (
  " float32 uint8 int8 uint16 int16 int32 int64  bool float16 float64 uint32 uint64 complex64 " +
  "complex128 bfloat16 float8e4m3fn float8e4m3fnuz float8e5m2 float8e5m2fnuz uint4 int4 " +
  "float4e2m1 float8e8m0 uint2 int2"
).split(" ");

const maxDepth = 100;

/** Appends a number as LEB128: seven bits a byte, low ones first. */
export function pushVarint(bytes: number[], value: number): void {
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  bytes.push(rest);
}

/** The place before the first byte. */
export const start = (): Place => ({ path: 0, head: 0, message: 0 });

/**
 * Reads a `ModelProto` from the tokens that `next` gives, one byte each.
 *
 * `place` is updated before each byte, so that the predictor knows what the byte will be. `limit`
 * bounds the bytes of the ONNX file, because a name or a tensor takes few bytes here but may stand
 * for many. Throws DecodeError for anything that is not a graph, and what `next` throws.
 */
export function readGraph(next: () => number, place: Place, limit: number): Part[] {
  const names: number[][] = [];
  let generated = 0;
  let size = 0;

  /** The next byte of a token, at the place after the last one. */
  function byte(): number {
    const value = next();
    place.path = hash(place.path, 1);
    place.head = hash(place.head, value);
    return value;
  }

  /** A LEB128 number; its bytes are appended to `raw`. */
  function varint(raw: number[] = []): number {
    let value = 0;
    for (let i = 0, scale = 1; i < 10; i++, scale *= 128) {
      const digit = byte();
      raw.push(digit);
      value += (digit & 127) * scale;
      if (digit < 128) return value;
    }
    throw new DecodeError("a number is too long");
  }

  /** Counts bytes of the ONNX file. Throws DecodeError beyond the limit. */
  function grow(bytes: number): void {
    size += bytes;
    if (!(size <= limit)) throw new DecodeError("the graph is implausibly large");
  }

  function text(length: number): number[] {
    const bytes: number[] = [];
    while (bytes.length < length) bytes.push(byte());
    return bytes;
  }

  /** A name by reference: that of so many names ago, or for 0 the next generated one. */
  function readName(): number[] {
    const back = varint();
    if (back > names.length) throw new DecodeError("a name in the graph is not known yet");
    if (back > 0) return names[names.length - back];
    const name = [...(firstName + generated++).toString(36)].map((c) => c.charCodeAt(0));
    names.push(name);
    return name;
  }

  /** The gap of a tensor with a body of `coded` bytes; `type` is a code of TensorProto.DataType. */
  function gapOf(dims: readonly number[], type: number, coded: number): Gap {
    const dtype = dtypeNames[type] ?? "";
    const elements = dims.reduce((product, dim) => product * dim, 1);
    const byteLength = Math.ceil((elements * bitsOf(dtype)) / 8);
    return { dtype, dims, byteLength, coded };
  }

  /**
   * Reads the fields of a message up to the zero byte. `around` is the key of the enclosing
   * message, `self` the message's own key, `outer` the hash of the operator (or another name)
   * that encloses it. Returns the message's parts and `head`, the hash of the first text in it,
   * such as the operator.
   */
  function readMessage(around: number, self: number, outer: number, depth: number) {
    if (depth > maxDepth) throw new DecodeError("messages of the graph nest too deep");
    const parts: Part[] = [];
    const dims: number[] = [];
    let type = 0;
    let head = outer;
    let isNamed = false;
    let all = hash(around, self);
    const open = (): number[] => {
      const last = parts.at(-1);
      if (Array.isArray(last)) return last;
      const fresh: number[] = [];
      parts.push(fresh);
      return fresh;
    };
    const push = (bytes: readonly number[]): void => {
      const to = open();
      for (const value of bytes) to.push(value);
    };
    for (;;) {
      place.path = hash(around, self);
      place.head = hash(head, all);
      place.message = all;
      const key = varint();
      if (key === 0) return { parts, head };
      const [field, wire] = [Math.floor(key / 8), key % 8];
      const bytes = open();
      const keyAs = (as: number): void => pushVarint(bytes, field * 8 + as);
      place.path = hash(hash(around, self), key);
      place.head = hash(head, key);
      all = hash(all, key);
      place.message = all;
      if (wire === wires.message) {
        const child = readMessage(self, key, head, depth + 1);
        keyAs(2);
        pushVarint(bytes, sizeOf(child.parts));
        for (const part of child.parts) {
          if (Array.isArray(part)) push(part);
          else parts.push(part);
        }
        if (!isNamed) head = child.head;
        all = hash(all, child.head);
        continue;
      }
      const raw: number[] = [];
      if (wire === 0) {
        const value = varint(raw);
        if (field === 1) dims.push(value);
        if (field === 2) type = value;
        keyAs(0);
        push(raw);
      } else if (wire === 1 || wire === 5) {
        raw.push(...text(wire === 1 ? 8 : 4));
        keyAs(wire);
        push(raw);
      } else if (wire === wires.tensor) {
        const gap = gapOf(dims, type, varint());
        grow(gap.byteLength);
        keyAs(2);
        pushVarint(bytes, gap.byteLength);
        parts.push(gap);
      } else if (wire === 2 || wire === wires.name || wire === wires.newName) {
        const value = wire === wires.name ? readName() : text(varint());
        if (wire === wires.newName) names.push(value);
        grow(value.length);
        if (wire === 2 && !isNamed) {
          isNamed = true;
          head = value.reduce(hash, 0);
        }
        keyAs(2);
        pushVarint(bytes, value.length);
        push(value);
        raw.push(...value.slice(0, 32));
      } else throw new DecodeError(`the graph has an unknown wire type ${wire}`);
      all = raw.reduce(hash, all);
    }
  }

  const firstName = varint();
  return readMessage(0, 0, 0, 0).parts;
}

/** Bytes of a part in the ONNX file. */
export const lengthOf = (part: Part): number =>
  Array.isArray(part) ? part.length : part.byteLength;

/** Bytes of parts in the ONNX file. */
export const sizeOf = (parts: readonly Part[]): number =>
  parts.reduce((sum, part) => sum + lengthOf(part), 0);
