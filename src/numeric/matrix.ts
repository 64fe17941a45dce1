/** @file Products and transposes of dense row-major float64 matrices, blocked for the cache. */

/** Inner length of a block: four rows and a panel of the other stay in the L2 cache. */
const DEPTH = 256;

/**
 * a b^T [n, p] of a [n, depth] and b [p, depth]: every entry is the dot product of two
 * contiguous rows. If a === b, the upper half is computed and mirrored, so that the Gram matrix
 * is exactly symmetric.
 */
export function multiplyTransposed(
  a: Float64Array,
  b: Float64Array,
  n: number,
  p: number,
  depth: number,
): Float64Array<ArrayBuffer> {
  const symmetric = a === b;
  const c = new Float64Array(n * p);
  for (let start = 0; start < depth; start += DEPTH) {
    const length = Math.min(DEPTH, depth - start);
    for (let i = 0; i < n; i += 4) {
      for (let j = symmetric ? i : 0; j < p; j += 2) {
        if (i + 4 <= n && j + 2 <= p) {
          block(a, b, c, i * depth + start, j * depth + start, depth, length, i * p + j, p);
        } else {
          edge(a, b, c, i, j, Math.min(n, i + 4), Math.min(p, j + 2), depth, start, length, p);
        }
      }
    }
  }
  if (symmetric) {
    for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) c[i * n + j] = c[j * n + i];
  }
  return c;
}

/** Adds the products of 4 rows of a and 2 rows of b: 8 sums in registers, 6 loads for each step. */
function block(
  a: Float64Array,
  b: Float64Array,
  c: Float64Array,
  rowA: number,
  rowB: number,
  stride: number,
  length: number,
  at: number,
  p: number,
): void {
  let c00 = 0;
  let c01 = 0;
  let c10 = 0;
  let c11 = 0;
  let c20 = 0;
  let c21 = 0;
  let c30 = 0;
  let c31 = 0;
  for (let i = rowA, j = rowB, end = rowA + length; i < end; i++, j++) {
    const b0 = b[j];
    const b1 = b[j + stride];
    const a0 = a[i];
    const a1 = a[i + stride];
    const a2 = a[i + 2 * stride];
    const a3 = a[i + 3 * stride];
    c00 += a0 * b0;
    c01 += a0 * b1;
    c10 += a1 * b0;
    c11 += a1 * b1;
    c20 += a2 * b0;
    c21 += a2 * b1;
    c30 += a3 * b0;
    c31 += a3 * b1;
  }
  c[at] += c00;
  c[at + 1] += c01;
  c[at + p] += c10;
  c[at + p + 1] += c11;
  c[at + 2 * p] += c20;
  c[at + 2 * p + 1] += c21;
  c[at + 3 * p] += c30;
  c[at + 3 * p + 1] += c31;
}

/** Adds the products at the edges, where fewer than 4 rows of a or 2 rows of b are left. */
function edge(
  a: Float64Array,
  b: Float64Array,
  c: Float64Array,
  firstRow: number,
  firstColumn: number,
  endRow: number,
  endColumn: number,
  depth: number,
  start: number,
  length: number,
  p: number,
): void {
  for (let i = firstRow; i < endRow; i++) {
    for (let j = firstColumn; j < endColumn; j++) {
      c[i * p + j] += dot(a, i * depth + start, b, j * depth + start, length);
    }
  }
}

/**
 * sum_k a[i + k] b[j + k] over `length` entries. There are four partial sums, because a single one
 * would have to wait for the previous addition.
 */
export function dot(
  a: Float64Array,
  i: number,
  b: Float64Array,
  j: number,
  length: number,
): number {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let k = 0;
  for (; k + 3 < length; k += 4) {
    s0 += a[i + k] * b[j + k];
    s1 += a[i + k + 1] * b[j + k + 1];
    s2 += a[i + k + 2] * b[j + k + 2];
    s3 += a[i + k + 3] * b[j + k + 3];
  }
  for (; k < length; k++) s0 += a[i + k] * b[j + k];
  return s0 + s1 + (s2 + s3);
}

/** The [cols, rows] transpose of a [rows, cols] matrix, as float64 or in the array `t`. */
export function transpose(
  a: Float32Array | Float64Array,
  rows: number,
  cols: number,
): Float64Array<ArrayBuffer>;
export function transpose<T extends Float32Array | Float64Array>(
  a: Float32Array | Float64Array,
  rows: number,
  cols: number,
  t: T,
): T;
export function transpose(
  a: Float32Array | Float64Array,
  rows: number,
  cols: number,
  t: Float32Array | Float64Array = new Float64Array(rows * cols),
): Float32Array | Float64Array {
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) t[j * rows + i] = a[i * cols + j];
  return t;
}
