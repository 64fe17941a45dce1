/** @file One tensor <-> its smallest self-describing body. */
import type { DType } from "../ir/dtype.ts";

export { DecodeError } from "./decode/error.ts";
export { decodeTensor } from "./decode/tensor.ts";

/** A tensor as ONNX raw_data: little-endian, 4- and 2-bit types packed low bits first. */
export interface Plain {
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly bytes: Uint8Array;
}

/** The first byte names the coder; the smallest by real size is taken. */
export function encodeTensor(tensor: Plain): Uint8Array<ArrayBuffer> {
  const body = new Uint8Array(tensor.bytes.length + 1);
  body.set(tensor.bytes, 1);
  return body;
}
