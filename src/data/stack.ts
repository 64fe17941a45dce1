/** @file Tensors of single records put together along an axis. */
import { rawTensor, type Tensor } from "../ir/tensor.ts";
import { product } from "../util/product.ts";

/** The tensors, which are of one type and shape but for `axis`, one after the other along it. */
export function joined(tensors: readonly Tensor[], axis: number): Tensor {
  const [{ dtype, shape }] = tensors;
  if (tensors.length === 1) return tensors[0];
  const total = tensors.reduce((sum, tensor) => sum + tensor.shape[axis], 0);
  const all = tensors.map((tensor) => tensor.bytes());
  const rows = product(shape.slice(0, axis));
  const out = new Uint8Array(all.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (let row = 0; row < rows; row++) {
    for (const bytes of all) {
      const length = bytes.byteLength / rows;
      out.set(bytes.subarray(row * length, (row + 1) * length), at);
      at += length;
    }
  }
  return rawTensor(dtype, shape.with(axis, total), out);
}

/** Record `index` of a tensor whose records lie along `axis`, where its size is then 1. */
export function recordAlong(tensor: Tensor, axis: number, index: number): Tensor {
  const { dtype, shape } = tensor;
  const bytes = tensor.bytes();
  const rows = product(shape.slice(0, axis));
  const length = bytes.byteLength / rows / shape[axis];
  const out = new Uint8Array(rows * length);
  for (let row = 0; row < rows; row++) {
    const from = (row * shape[axis] + index) * length;
    out.set(bytes.subarray(from, from + length), row * length);
  }
  return rawTensor(dtype, shape.with(axis, 1), out);
}
