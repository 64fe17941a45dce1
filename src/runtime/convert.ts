/** @file tersor tensors to ONNX Runtime tensors and back, sharing memory wherever the engine allows. */
import type { Tensor as OrtTensor } from "onnxruntime-web/wasm";
import type { DType } from "../ir/dtype.ts";
import { rawTensor, Tensor } from "../ir/tensor.ts";

export type OrtTensorConstructor = typeof OrtTensor;

/** Copies only unaligned bytes and shared memory, which the native binding rejects. */
export function toOrt(tensor: Tensor, Ort: OrtTensorConstructor): OrtTensor {
  const dims = [...tensor.shape];
  if (tensor.strings) return new Ort("string", [...tensor.strings], dims);
  const data = tensor.data();
  const own = data.buffer instanceof ArrayBuffer ? data : data.slice();
  // Types the engine does not take (bfloat16, float8 ...) make its constructor throw.
  return new Ort(tensor.dtype as "float32", own as Float32Array, dims);
}

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
