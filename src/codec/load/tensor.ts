/** @file Decodes a tensor's body with rests between its parts. */

import { Reader } from "../decode/reader.ts";
import { bitsOf, decodeTensor, PARTS, readParts } from "../decode/tensor.ts";
import type { Rest } from "./rest.ts";

/** What `decodeTensor` gives, with a rest after each part. Throws DecodeError as it does. */
export async function decodeWithRests(
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
