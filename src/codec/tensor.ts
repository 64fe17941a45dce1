/** @file One tensor <-> its smallest self-describing body. */
import type { DType } from "../ir/dtype.ts";
import { encodeBody } from "./encode/tensor.ts";

export { DecodeError } from "./decode/error.ts";
export { decodeTensor } from "./decode/tensor.ts";

/** A tensor as ONNX raw_data: little-endian, 4- and 2-bit types packed low bits first. */
export interface Plain {
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly bytes: Uint8Array;
}

/** The first byte names mapping and coder (docs/format-tensors.md); the smallest by real size is taken. */
export function encodeTensor({ dtype, dims, bytes }: Plain): Uint8Array<ArrayBuffer> {
  return encodeBody(dtype, dims, bytes);
}
