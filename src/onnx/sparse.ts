/** @file Reads SparseTensorProto into a dense Tensor, as the engine does when it loads a model. */
import type { SparseTensorProto } from "onnx-buf";
import { plausible } from "../codec/decode/limits.ts";
import { errors, fail } from "../errors.ts";
import { byteLengthOf, dtypes } from "../ir/dtype.ts";
import { Tensor } from "../ir/tensor.ts";
import { product } from "../util/product.ts";
import { readTensor, type TensorContext } from "./tensor-proto.ts";

/**
 * The dense tensor of a sparse one. Its indices are [nnz] linear positions or [nnz, rank]
 * coordinates. The dense bytes are made when they are first read, because a few bytes of a file may
 * stand for very many. Throws TersorError "bad-tensor".
 */
export function densify(proto: SparseTensorProto, context: TensorContext): Tensor {
  const where = `${context.where}: sparse tensor "${proto.values?.name ?? ""}"`;
  const bad = (why: string): Error => fail(errors.badTensor(where, why));
  if (!proto.values || !proto.indices) throw bad("has no values or indices");
  const values = readTensor(proto.values, context);
  const indices = readTensor(proto.indices, context);
  const shape = proto.dims.map(Number);
  const size = product(shape);
  const { bits } = dtypes[values.dtype];
  const byteLength = byteLengthOf(values.dtype, size);
  const most = plausible(values.byteLength + indices.byteLength);
  if (byteLength > most)
    throw bad(`stands for ${byteLength} bytes, of at most ${most} for its size`);
  if (bits < 8 || shape.some((dim) => dim < 0) || !(byteLength <= 2 ** 31)) {
    throw bad("has a type or shape that cannot be stored densely");
  }
  if (indices.dtype !== "int64") throw bad(`has ${indices.dtype} indices instead of int64`);
  const positions = linear(indices, shape);
  if (positions.length !== values.size) {
    throw bad(`has ${positions.length} indices for ${values.size} values`);
  }
  const outside = positions.find((position) => !(position >= 0 && position < size));
  if (outside !== undefined) throw bad(`has the index ${outside} outside its shape`);

  const width = bits / 8;
  let dense: Uint8Array | null = null;
  const fill = (): Uint8Array => {
    const bytes = new Uint8Array(byteLength);
    const source = values.bytes();
    for (const [i, position] of positions.entries()) {
      bytes.set(source.subarray(i * width, (i + 1) * width), position * width);
    }
    return bytes;
  };
  return new Tensor(values.dtype, shape, () => (dense ??= fill()));
}

/** The linear positions of the indices. NaN marks a coordinate outside its dimension. */
function linear(indices: Tensor, shape: readonly number[]): Float64Array {
  const numbers = indices.numbers();
  if (indices.shape.length !== 2) return Float64Array.from(numbers);
  const [count, rank] = indices.shape;
  const positions = new Float64Array(rank === shape.length ? count : 0);
  for (let i = 0; i < positions.length; i++) {
    for (let d = 0; d < rank; d++) {
      const at = numbers[i * rank + d];
      positions[i] = positions[i] * shape[d] + (at >= 0 && at < shape[d] ? at : Number.NaN);
    }
  }
  return positions;
}
