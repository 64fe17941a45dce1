/** @file Converts tensors to ONNX Runtime's and back, without copying where possible. */
import type { Tensor as OrtTensor } from "onnxruntime-web/wasm";
import type { DType } from "../ir/dtype.ts";
import { rawTensor, Tensor } from "../ir/tensor.ts";

export type OrtTensorConstructor = typeof OrtTensor;

/**
 * A tensor for the engine, which shares its memory. Only unaligned bytes are copied, and those in
 * shared memory, which the native binding rejects.
 */
export function toOrt(tensor: Tensor, Ort: OrtTensorConstructor): OrtTensor {
  const dims = [...tensor.shape];
  if (tensor.strings) return new Ort("string", [...tensor.strings], dims);
  const data = tensor.data();
  const own = data.buffer instanceof ArrayBuffer ? data : data.slice();
  // For types that the engine does not take (bfloat16, float8 ...) its constructor throws.
  return new Ort(tensor.dtype as "float32", own as Float32Array, dims);
}

/** A tensor over the memory of an engine's output. */
export function fromOrt(value: OrtTensor): Tensor {
  const { type, dims, data } = value;
  if (type === "string") {
    return new Tensor(type, dims, () => new Uint8Array(), data as string[]);
  }
  const view = data as Exclude<typeof data, string[]>;
  return rawTensor(
    type as DType,
    dims,
    new Uint8Array(view.buffer, view.byteOffset, view.byteLength),
  );
}
