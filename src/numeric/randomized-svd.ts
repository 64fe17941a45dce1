/**
 * @file The leading part of a singular value decomposition from products with a few random vectors
 * (Halko, Martinsson & Tropp 2011, arXiv 0909.4061, algorithms 4.3 and 5.1):
 *
 *   y = (a a^T)^powers a w,   y = q r,   q^T a = u' diag(s) v^T,   u = q u'
 *
 * Each power makes the directions of large singular values stand out more. The squared error of the
 * result is |a|^2 - sum s^2 exactly, so a caller sees how good it is.
 *
 * The matrix is read in blocks of rows, so that a large one in float32 is never copied as a whole.
 */
import { multiplyTransposed, transpose } from "./matrix.ts";
import { orthonormalRows } from "./qr.ts";
import type { Random } from "./random.ts";
import { type Svd, signOfLargest, svd, truncate } from "./svd.ts";

export interface SketchOptions {
  /** Random vectors besides the `rank` that are asked for. */
  readonly oversampling?: number;
  /** How often a a^T is applied; 2 comes within 1 % of the best error where spectra fall slowly. */
  readonly powers?: number;
  /** Computes a b^T, as `multiplyTransposed` does. */
  readonly multiply?: typeof multiplyTransposed;
}

/** Rows of a block. */
const BLOCK = 256;

/**
 * The `rank` largest singular values of a finite [rows, cols] matrix and their vectors. Where `rank`
 * is not far below the smaller side, the whole decomposition takes less time and is cut instead.
 * Throws as `svd` does.
 */
export function truncatedSvd(
  matrix: Float32Array | Float64Array,
  rows: number,
  cols: number,
  rank: number,
  random: Random,
  { oversampling = 10, powers = 2, multiply = multiplyTransposed }: SketchOptions = {},
): Svd {
  const count = rank + oversampling;
  if (count * 3 >= Math.min(rows, cols)) return truncate(svd(matrix, rows, cols), rank);
  /** w a^T [count, rows] of w [count, cols]. */
  const forward = (w: Float64Array): Float64Array => {
    const out = new Float64Array(count * rows);
    for (let first = 0; first < rows; first += BLOCK) {
      const size = Math.min(BLOCK, rows - first);
      const block = Float64Array.from(matrix.subarray(first * cols, (first + size) * cols));
      const part = multiply(w, block, count, size, cols);
      for (let k = 0; k < count; k++) {
        out.set(part.subarray(k * size, (k + 1) * size), k * rows + first);
      }
    }
    return out;
  };
  /** y a [count, cols] of y [count, rows]. */
  const back = (y: Float64Array): Float64Array => {
    const out = new Float64Array(count * cols);
    for (let first = 0; first < rows; first += BLOCK) {
      const size = Math.min(BLOCK, rows - first);
      const block = transpose(matrix.subarray(first * cols, (first + size) * cols), size, cols);
      const own = new Float64Array(count * size);
      for (let k = 0; k < count; k++) {
        own.set(y.subarray(k * rows + first, k * rows + first + size), k * size);
      }
      const part = multiply(own, block, count, cols, size);
      for (let i = 0; i < out.length; i++) out[i] += part[i];
    }
    return out;
  };
  const directions = Float64Array.from({ length: count * cols }, () => random.normal());
  let range = orthonormalRows(forward(directions), count, rows);
  for (let power = 0; power < powers; power++) {
    range = orthonormalRows(forward(back(range)), count, rows);
  }
  const small = truncate(svd(back(range), count, cols), rank);
  const left = transpose(small.u, count, rank);
  const u = multiply(left, transpose(range, count, rows), rank, rows, count);
  const v = transpose(small.v, cols, rank);
  for (let k = 0; k < rank; k++) {
    if (signOfLargest(u, k * rows, rows) > 0) continue;
    for (let i = k * rows; i < (k + 1) * rows; i++) u[i] *= -1;
    for (let i = k * cols; i < (k + 1) * cols; i++) v[i] *= -1;
  }
  return { ...small, rows, u: transpose(u, rank, rows), v: transpose(v, rank, cols) };
}
