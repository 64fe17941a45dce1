/** @file One tensor's body -> its bytes: dispatch on the first byte, the coder's id. */
import { DecodeError } from "./error.ts";

/** Bits of one element, read from the type's name (float8e4m3fn: 8). */
export function bitsOf(dtype: string): number {
  const bits = dtype === "bool" ? 8 : Number(/\d+/.exec(dtype)?.[0]);
  if (!(bits > 0)) throw new DecodeError(`no coder for elements of type ${dtype}`);
  return bits;
}

/** Decodes one tensor to ONNX raw_data bytes. Terminates on any input; throws DecodeError. */
export function decodeTensor(
  body: Uint8Array,
  dtype: string,
  dims: readonly number[],
): Uint8Array<ArrayBuffer> {
  const size = dims.reduce((product, dim) => product * dim, 1);
  const byteLength = Math.ceil((size * bitsOf(dtype)) / 8);
  if (body[0] !== 0) throw new DecodeError(`unknown tensor coder ${body[0]}`);
  if (body.length !== byteLength + 1) throw new DecodeError("a raw tensor's length is wrong");
  return body.slice(1) as Uint8Array<ArrayBuffer>;
}
