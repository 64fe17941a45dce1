/** @file Reorders the axes of an array. */
import { product } from "../util/product.ts";

/**
 * The row-major `values` of `shape` with axis order[i] as the i-th axis, as NumPy's transpose does.
 * The result has the shape order.map((axis) => shape[axis]).
 */
export function permute<
  A extends { readonly length: number; [index: number]: number; slice(): unknown },
>(values: A, shape: readonly number[], order: readonly number[]): A {
  const result = values.slice() as A;
  const strides = shape.map((_, axis) => product(shape.slice(axis + 1)));
  const dims = order.map((axis) => shape[axis]);
  const steps = order.map((axis) => strides[axis]);
  const index = dims.map(() => 0);
  for (let i = 0, from = 0; i < values.length; i++) {
    result[i] = values[from];
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      index[axis]++;
      from += steps[axis];
      if (index[axis] < dims[axis]) break;
      from -= dims[axis] * steps[axis];
      index[axis] = 0;
    }
  }
  return result;
}
