/**
 * @file Eigenvalues and eigenvectors of a symmetric matrix, by Householder tridiagonalization and
 * the implicit QL algorithm (tred2 and tql2 of EISPACK; Wilkinson & Reinsch 1971).
 *
 *   a = q^T t q with t tridiagonal; then plane rotations make t diagonal and q the eigenvectors
 */
import { errors, fail } from "../errors.ts";
import { dot } from "./matrix.ts";

/** The decomposition of a symmetric [n, n] matrix. */
export interface Eigen {
  /** The eigenvalues in descending order. */
  readonly values: Float64Array<ArrayBuffer>;
  /** [n, n]: row i is the unit eigenvector of values[i]. */
  readonly vectors: Float64Array<ArrayBuffer>;
}

/**
 * Entries below this count as 0, in a matrix whose largest entry is about 1. Rounding leaves such
 * entries in matrices of low rank (2^-52 of 2^-52 and so on), and their squares would underflow.
 */
const NEGLIGIBLE = 2 ** -200;

/**
 * After so many iterations an entry counts as 0 if it is the rounding error of the largest entry of the
 * matrix. In matrices of low rank whole parts are nothing else, and the iteration does not end on them.
 */
const MANY = 30;

/**
 * Decomposes the symmetric [n, n] matrix a = sum_i values[i] vectors[i]^T vectors[i]; only the
 * lower triangle of `a` is read. Throws TersorError "bad-number" for entries that are not finite.
 *
 * Every inner loop runs along a row. This takes half the time of ml-matrix 6.15 at n = 1000 (4.5 s
 * against 8.5 s of CPU, busy machine).
 */
export function symmetricEigen(a: Float32Array | Float64Array, n: number): Eigen {
  if (n === 0) return { values: new Float64Array(0), vectors: new Float64Array(0) };
  const scale = powerOfTwo(a);
  const matrix = Float64Array.from(a, (x) => x * scale);
  const diagonal = new Float64Array(n);
  const beside = new Float64Array(n);
  const vectors = tridiagonalize(matrix, n, diagonal, beside);
  diagonalize(vectors, n, diagonal, beside);
  const order = Array.from(diagonal.keys()).sort((i, j) => diagonal[j] - diagonal[i] || i - j);
  const sorted = new Float64Array(n * n);
  order.forEach((from, to) => {
    sorted.set(vectors.subarray(from * n, from * n + n), to * n);
  });
  return { values: Float64Array.from(order, (i) => diagonal[i] / scale), vectors: sorted };
}

/**
 * The power of two that scales the largest magnitude to [1/2, 1), so that no square
 * over- or underflows. Scaling by it is exact. Throws TersorError "bad-number" for
 * entries that are not finite.
 */
export function powerOfTwo(a: Float32Array | Float64Array): number {
  let largest = 0;
  for (const x of a) {
    const size = Math.abs(x);
    if (!(size < Number.POSITIVE_INFINITY)) {
      throw fail(errors.badNumber("matrix", "an entry is not finite", "Repair the tensor first"));
    }
    if (size > largest) largest = size;
  }
  let scale = 1;
  while (largest * scale >= 1) scale /= 2;
  while (largest > 0 && largest * scale < 0.5 && scale < 2 ** 1000) scale *= 2;
  return scale;
}

/**
 * Householder: a = q^T t q with t tridiagonal. The diagonal of t becomes `d`; e[i] becomes its
 * element between i and i + 1; returns q [n, n]. The reflector of column k is 1 - beta v v^T, where
 * v is kept in column k of `a` below the diagonal.
 */
function tridiagonalize(
  a: Float64Array,
  n: number,
  d: Float64Array,
  e: Float64Array,
): Float64Array<ArrayBuffer> {
  const v = new Float64Array(n);
  const w = new Float64Array(n);
  const betas = new Float64Array(n);
  for (let k = 0; k < n - 1; k++) {
    d[k] = a[k * n + k];
    let below = 0;
    for (let i = k + 2; i < n; i++) below += a[i * n + k] * a[i * n + k];
    const head = a[(k + 1) * n + k];
    if (below <= NEGLIGIBLE ** 2) {
      e[k] = head;
      continue;
    }
    const norm = Math.sqrt(head * head + below);
    e[k] = head > 0 ? -norm : norm;
    const first = head - e[k];
    const beta = 2 / (first * first + below);
    betas[k] = beta;
    for (let i = k + 2; i < n; i++) v[i] = a[i * n + k];
    a[(k + 1) * n + k] = v[k + 1] = first;
    // w = beta a v, from the lower triangle alone: each row also serves as a column.
    w.fill(0, k + 1);
    for (let i = k + 1; i < n; i++) {
      const row = i * n;
      const vi = v[i];
      w[i] += dot(a, row + k + 1, v, k + 1, i - k);
      for (let j = k + 1; j < i; j++) w[j] += a[row + j] * vi;
    }
    const half = (beta * beta * dot(w, k + 1, v, k + 1, n - k - 1)) / 2;
    for (let i = k + 1; i < n; i++) w[i] = beta * w[i] - half * v[i];
    // a - v w^T - w v^T
    for (let i = k + 1; i < n; i++) {
      const row = i * n;
      const vi = v[i];
      const wi = w[i];
      for (let j = k + 1; j <= i; j++) a[row + j] -= vi * w[j] + wi * v[j];
    }
  }
  d[n - 1] = a[n * n - 1];
  e[n - 1] = 0;
  const q = new Float64Array(n * n);
  for (let i = 0; i < n; i++) q[i * n + i] = 1;
  for (let k = n - 3; k >= 0; k--) {
    if (betas[k] === 0) continue;
    for (let i = k + 1; i < n; i++) v[i] = a[i * n + k];
    for (let r = k + 1; r < n; r++) {
      const row = r * n;
      const along = betas[k] * dot(q, row + k + 1, v, k + 1, n - k - 1);
      for (let i = k + 1; i < n; i++) q[row + i] -= along * v[i];
    }
  }
  return q;
}

/** Implicit QL with Wilkinson's shift: d becomes the eigenvalues, the rows of z eigenvectors. */
function diagonalize(z: Float64Array, n: number, d: Float64Array, e: Float64Array): void {
  const largest = d.reduce((most, x, i) => Math.max(most, Math.abs(x), Math.abs(e[i])), 0);
  for (let l = 0; l < n; l++) {
    for (let iteration = 0; ; iteration++) {
      let m = l;
      while (m < n - 1) {
        const size = Math.abs(d[m]) + Math.abs(d[m + 1]);
        const scale = iteration < MANY ? size : largest;
        if (Math.abs(e[m]) <= Number.EPSILON * scale + NEGLIGIBLE) break;
        m++;
      }
      if (m === l) break;
      if (iteration === 60) {
        throw fail(errors.badNumber("eigen", "the QL iteration does not converge", "Report this"));
      }
      let g = (d[l + 1] - d[l]) / (2 * e[l]);
      let r = length(g, 1);
      g = d[m] - d[l] + e[l] / (g + (g >= 0 ? r : -r));
      let s = 1;
      let c = 1;
      let p = 0;
      let i = m - 1;
      for (; i >= l; i--) {
        const f = s * e[i];
        const b = c * e[i];
        r = length(f, g);
        e[i + 1] = r;
        if (r === 0) {
          // An underflow splits the matrix here; the iteration starts again on the parts.
          d[i + 1] -= p;
          e[m] = 0;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        rotate(z, i * n, n, c, s);
      }
      if (i >= l) continue;
      d[l] -= p;
      e[l] = g;
      e[m] = 0;
    }
  }
}

/** Rotates the row that starts at `low` and the next one by the cosine c and the sine s. */
function rotate(z: Float64Array, low: number, n: number, c: number, s: number): void {
  for (let k = low, end = low + n; k < end; k++) {
    const x = z[k];
    const y = z[k + n];
    z[k + n] = s * x + c * y;
    z[k] = c * x - s * y;
  }
}

/** sqrt(a^2 + b^2) without overflow. Math.hypot does not give the same bits in every engine. */
function length(a: number, b: number): number {
  const x = Math.abs(a);
  const y = Math.abs(b);
  const large = Math.max(x, y);
  if (large === 0) return 0;
  const ratio = Math.min(x, y) / large;
  return large * Math.sqrt(1 + ratio * ratio);
}
