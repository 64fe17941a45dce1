/** @file Decodes a tensor's body with rests between its parts, and differences from a base. */
import type { Decode } from "../decode/container.ts";
import { Reader } from "../decode/reader.ts";
import { bitsOf, decodeTensor, PARTS, readParts } from "../decode/tensor.ts";
import { type Base, decodeDifference, isDifference } from "./difference.ts";
import type { Rest } from "./rest.ts";

/** Decodes bodies of all mappings; without `base` those that need none. */
export function decodeWith(base: Base | null, rest: Rest): Decode {
  const decode = (body: Uint8Array, dtype: string, dims: readonly number[]) =>
    decodeWithRests(body, dtype, dims, rest);
  return (body, dtype, dims) =>
    isDifference(body)
      ? decodeDifference(body, dtype, dims, base, decode)
      : decode(body, dtype, dims);
}

/** Bytes of a base's tensors, beyond which limits.ts bounds what a delta decodes to. */
export function bytesOf(base: Base | null): number {
  return [...(base?.values() ?? [])].reduce((sum, { length }) => sum + length, 0);
}

/** What `decodeTensor` gives, with a rest after each part. Throws DecodeError as it does. */
async function decodeWithRests(
  body: Uint8Array,
  dtype: string,
  dims: readonly number[],
  rest: Rest,
): Promise<Uint8Array<ArrayBuffer>> {
  const reader = new Reader(body);
  if (reader.byte() >> 4 !== PARTS) return decodeTensor(body, dtype, dims);
  const size = dims.reduce((product, dim) => product * dim, 1);
  const bits = bitsOf(dtype);
  const out = new Uint8Array(Math.ceil((size * bits) / 8));
  let at = 0;
  for (const [part, partDims] of readParts(reader, dims, size, bits)) {
    const bytes = decodeTensor(part, dtype, partDims);
    out.set(bytes, at);
    at += bytes.length;
    await rest();
  }
  return out;
}
