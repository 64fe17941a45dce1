/**
 * @file Thin QR factorization by Householder reflections (Golub & Van Loan, section 5.2).
 *
 *   a = q r,  q = H_1 H_2 ... H_n (its first n columns),  H_k = 1 - beta_k v_k v_k^T
 *
 * q is orthonormal to the last digits whatever the rank of a, which a Gram matrix cannot give.
 */
import { dot, transpose } from "./matrix.ts";

/** a = q r, row-major. */
export interface Qr {
  /** [rows, cols] with orthonormal columns. */
  readonly q: Float64Array<ArrayBuffer>;
  /** [cols, cols], upper triangular, no negative number on the diagonal. */
  readonly r: Float64Array<ArrayBuffer>;
}

/** The thin QR factorization of a [rows, cols] with rows >= cols. */
export function qr(a: Float32Array | Float64Array, rows: number, cols: number): Qr {
  const { q, l } = factorRows(transpose(a, rows, cols), cols, rows);
  return { q: transpose(q, cols, rows), r: transpose(l, cols, cols) };
}

/**
 * `count` orthonormal rows of `length` numbers, the first k of which span the first k rows of `a`
 * [count, length], count <= length. Rows that depend on those before them become arbitrary ones.
 */
export const orthonormalRows = (a: Float64Array, count: number, length: number): Float64Array =>
  factorRows(Float64Array.from(a), count, length).q;

/**
 * a = l q of the rows of `a` [count, length], which is overwritten: l lower triangular, q with
 * orthonormal rows. In this form every inner loop runs along a row.
 */
function factorRows(a: Float64Array<ArrayBuffer>, count: number, length: number) {
  const l = new Float64Array(count * count);
  const betas = new Float64Array(count);
  for (let k = 0; k < count; k++) {
    const at = k * length + k;
    const size = length - k;
    for (let j = 0; j < k; j++) l[k * count + j] = a[k * length + j];
    // Scaled, so that the square of a small entry does not vanish.
    let largest = 0;
    for (let i = at; i < at + size; i++) largest = Math.max(largest, Math.abs(a[i]));
    if (largest === 0) continue;
    for (let i = at; i < at + size; i++) a[i] /= largest;
    const norm = Math.sqrt(dot(a, at, a, at, size));
    const pivot = a[at] > 0 ? -norm : norm;
    a[at] -= pivot;
    betas[k] = 2 / dot(a, at, a, at, size);
    l[k * count + k] = pivot * largest;
    for (let j = k + 1; j < count; j++) reflect(a, j * length + k, a, at, size, betas[k]);
  }
  const q = new Float64Array(count * length);
  for (let k = count - 1; k >= 0; k--) {
    q[k * length + k] = 1;
    if (betas[k] === 0) continue;
    for (let j = k; j < count; j++) {
      reflect(q, j * length + k, a, k * length + k, length - k, betas[k]);
    }
  }
  for (let k = 0; k < count; k++) {
    if (l[k * count + k] >= 0) continue;
    for (let j = k; j < count; j++) l[j * count + k] *= -1;
    for (let i = k * length; i < (k + 1) * length; i++) q[i] *= -1;
  }
  return { q, l };
}

/** x - beta v (v^T x) for `size` numbers of x from `to` on and of v from `from` on. */
function reflect(
  x: Float64Array,
  to: number,
  v: Float64Array,
  from: number,
  size: number,
  beta: number,
): void {
  const amount = beta * dot(x, to, v, from, size);
  for (let i = 0; i < size; i++) x[to + i] -= amount * v[from + i];
}
