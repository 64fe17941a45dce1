/** @file How the records of an array fill an input: along which axis, or the same for all. */
import type { Tensor } from "../ir/tensor.ts";
import type { Port } from "../runtime/runtime.ts";
import { product } from "../util/product.ts";
import { known } from "./reader.ts";

/** Where the records of an array are, and what one of them is as the input of a run. */
export interface Layout {
  /** The array's axis of records; null for one tensor for all of them. */
  readonly from: number | null;
  /** The input's axis of records; null where a run takes one tensor for all of its records. */
  readonly axis: number | null;
  /** The input of a run with one record; `axis`, where there is one, has size 1. */
  readonly shape: readonly number[];
}

/**
 * How an array fills an input whose records lie along `axis`; null if it does not fit. Of an input
 * [2,N,H] these are the same 8 records: [8,2,H], [8,2,1,H] and [2,8,H]. An input without an axis of
 * records takes one tensor for all of them, or one for each: then records run one at a time unless
 * all of them are equal.
 */
export function layoutOf(
  { dims, isOpenRank }: Port,
  shape: readonly number[],
  axis: number | null,
  records: number,
): Layout | null {
  const [first, ...own] = shape;
  if (isOpenRank) return { from: 0, axis: 0, shape: [1, ...own] };
  if (axis === 0 && fits(own, dims.slice(1))) return { from: 0, axis, shape: [1, ...own] };
  if (first === records) {
    const apart = axis === null ? dims : dims.toSpliced(axis, 1);
    if (axis !== null && fits(own, apart))
      return { from: 0, axis, shape: own.toSpliced(axis, 0, 1) };
    const isOne = axis !== null && own[axis] === 1;
    if (fits(own, dims)) return { from: 0, axis: isOne ? axis : null, shape: own };
    if (axis === null && own.length === 0 && isSingle(dims)) {
      return { from: 0, axis, shape: dims.map(() => 1) };
    }
  }
  if (axis === null && fits(shape, dims)) return { from: null, axis, shape };
  if (product(shape) === 1 && axis === null && isSingle(dims)) {
    return { from: null, axis, shape: dims.map(() => 1) };
  }
  if (axis !== null && shape[axis] === records && fits(shape, dims)) {
    return { from: axis, axis, shape: shape.with(axis, 1) };
  }
  return null;
}

/** The axes of one record in the input, where the records lie along `axis`. */
export const recordDims = ({ dims }: Port, axis: number | null): readonly (number | string)[] =>
  axis === null ? dims : dims.toSpliced(axis, 1);

function fits(shape: readonly number[], dims: readonly (number | string)[]): boolean {
  return (
    shape.length === dims.length && dims.every((dim, i) => (known(dim) ?? shape[i]) === shape[i])
  );
}

/** Whether an input of these axes may be a single number: [], [1], [S]. */
const isSingle = (dims: readonly (number | string)[]): boolean =>
  dims.every((dim) => (known(dim) ?? 1) === 1);

/** Whether the records of an array, which lie along its first axis, are all the same. */
export function isUniform(values: Tensor, records: number): boolean {
  const bytes = values.bytes();
  const length = bytes.byteLength / records;
  return bytes.every((byte, i) => i < length || byte === bytes[i - length]);
}
