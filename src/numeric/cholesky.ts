/**
 * @file The Cholesky factor of a symmetric positive definite matrix, and linear systems solved with
 * it.
 *
 *   l[i,j] = (a[i,j] - sum_{k<j} l[i,k] l[j,k]) / l[j,j]
 *   l[i,i] = sqrt(a[i,i] - sum_{k<i} l[i,k]^2)
 */
import { errors, fail } from "../errors.ts";
import { dot } from "./matrix.ts";

/**
 * The lower triangular l of a = l l^T, [n, n]. Only the lower triangle of `a` is read. Throws
 * TersorError "bad-number" where `a` is not positive definite: where no more than the share
 * `precision` of some a[i,i] is left, which is what rounding leaves of nothing. Entries that were
 * summed in float32 are exact to about 2^-20.
 */
export function cholesky(
  a: Float32Array | Float64Array,
  n: number,
  precision = 2 ** -52,
): Float64Array<ArrayBuffer> {
  const l = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) {
      l[i * n + j] = (a[i * n + j] - dot(l, i * n, l, j * n, j)) / l[j * n + j];
    }
    const pivot = a[i * n + i] - dot(l, i * n, l, i * n, i);
    if (!(pivot > precision * a[i * n + i])) {
      const why = `the ${n} x ${n} matrix is not positive definite (row ${i})`;
      throw fail(errors.badNumber("cholesky", why, "Add damping to its diagonal"));
    }
    l[i * n + i] = Math.sqrt(pivot);
  }
  return l;
}

/**
 * The solution x of a x = b, with `a` symmetric positive definite [n, n], and b and x [n, columns].
 * Throws as cholesky does.
 */
export function solveSpd(
  a: Float32Array | Float64Array,
  n: number,
  b: ArrayLike<number>,
  columns = 1,
): Float64Array<ArrayBuffer> {
  const l = cholesky(a, n);
  const x = Float64Array.from(b);
  // l y = b downwards, then l^T x = y upwards, on all columns at once.
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) subtractRow(x, i, j, l[i * n + j], columns);
    for (let k = i * columns; k < (i + 1) * columns; k++) x[k] /= l[i * n + i];
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let j = i + 1; j < n; j++) subtractRow(x, i, j, l[j * n + i], columns);
    for (let k = i * columns; k < (i + 1) * columns; k++) x[k] /= l[i * n + i];
  }
  return x;
}

/** b l^-1 with l lower triangular [n, n] and b [rows, n], from the last column to the first. */
export function divideByLower(
  b: Float64Array,
  l: Float64Array,
  n: number,
): Float64Array<ArrayBuffer> {
  const x = Float64Array.from(b);
  for (let row = 0; row < x.length; row += n) {
    for (let i = n - 1; i >= 0; i--) {
      const value = x[row + i] / l[i * n + i];
      x[row + i] = value;
      for (let j = 0, from = i * n; j < i; j++) x[row + j] -= value * l[from + j];
    }
  }
  return x;
}

/** Subtracts factor x row `from` from row `to` of x. */
function subtractRow(x: Float64Array, to: number, from: number, factor: number, columns: number) {
  if (factor === 0) return;
  const shift = (from - to) * columns;
  for (let k = to * columns; k < (to + 1) * columns; k++) x[k] -= factor * x[k + shift];
}
