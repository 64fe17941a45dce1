/** @file SparseTensorProto -> dense Tensor: the engine densifies it at load as well. */
import type { SparseTensorProto } from "onnx-buf";
import { errors, fail } from "../errors.ts";
import { byteLengthOf, dtypes } from "../ir/dtype.ts";
import { rawTensor, type Tensor } from "../ir/tensor.ts";
import { readTensor, type TensorContext } from "./tensor-proto.ts";

/** indices are [nnz] linear positions or [nnz, rank] coordinates. */
export function densify(proto: SparseTensorProto, context: TensorContext): Tensor {
  const where = `${context.where}: sparse tensor "${proto.values?.name ?? ""}"`;
  if (!proto.values || !proto.indices)
    throw fail(errors.badTensor(where, "has no values or indices"));
  const values = readTensor(proto.values, context);
  const indices = readTensor(proto.indices, context);
  const shape = proto.dims.map(Number);
  const size = shape.reduce((product, dim) => product * dim, 1);
  const { bits } = dtypes[values.dtype];
  if (bits < 8 || shape.some((dim) => dim < 0) || !(size <= 2 ** 31)) {
    throw fail(errors.badTensor(where, "has a type or shape that cannot be stored densely"));
  }
  const width = bits / 8;
  const bytes = new Uint8Array(byteLengthOf(values.dtype, size));
  const source = values.bytes();
  const positions = indices.numbers();
  const rank = indices.shape.length === 2 ? shape.length : 1;
  if (positions.length !== values.size * rank) {
    throw fail(
      errors.badTensor(where, `has ${positions.length} indices for ${values.size} values`),
    );
  }
  for (let i = 0; i < values.size; i++) {
    let position = positions[i * rank];
    for (let d = 1; d < rank; d++) position = position * shape[d] + positions[i * rank + d];
    if (!(position >= 0 && position < size)) {
      throw fail(errors.badTensor(where, `has the index ${position} outside its shape`));
    }
    bytes.set(source.subarray(i * width, (i + 1) * width), position * width);
  }
  return rawTensor(values.dtype, shape, bytes);
}
