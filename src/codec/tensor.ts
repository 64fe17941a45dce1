/** @file Codes one tensor into its smallest self-describing body, and back. */
import type { DType } from "../ir/dtype.ts";
import { encodeBody } from "./encode/tensor.ts";

export { DecodeError } from "./decode/error.ts";
export { decodeTensor } from "./decode/tensor.ts";

/** A tensor as ONNX `raw_data`: little-endian; types of 4 and 2 bits are packed low bits first. */
export interface Plain {
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly bytes: Uint8Array;
}

/**
 * Codes a tensor into a body. The first byte names the mapping and the coder
 * (docs/format-tensors.md). The mappings and coders that suit the tensor are tried, and the body of
 * the fewest bytes is kept.
 */
export function encodeTensor({ dtype, dims, bytes }: Plain): Uint8Array<ArrayBuffer> {
  return encodeBody(dtype, dims, bytes);
}
