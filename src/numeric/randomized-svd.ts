/**
 * @file The leading part of a singular value decomposition from products with a few random vectors
 * (Halko, Martinsson & Tropp 2011, arXiv 0909.4061, algorithms 4.3 and 5.1):
 *
 *   y = (a a^T)^powers a w,   y = q r,   q^T a = u' diag(s) v^T,   u = q u'
 *
 * Each power makes the directions of large singular values stand out more. The squared error of the
 * result is |a|^2 - sum s^2 exactly, so a caller sees how good it is.
 *
 * The matrix is read in blocks, so that a large one in float32 is never copied as a whole.
 */
import { multiplyTransposed, transpose } from "./matrix.ts";
import { orthonormalRows } from "./qr.ts";
import type { Random } from "./random.ts";
import { type Svd, signOfLargest, svd, svdRows, truncate } from "./svd.ts";

export interface SketchOptions {
  /** Random vectors besides the `rank` that are asked for. */
  readonly oversampling?: number;
  /** How often a a^T is applied; 2 comes within 1 % of the best error where spectra fall slowly. */
  readonly powers?: number;
  /** Computes a b^T, as `multiplyTransposed` does. */
  readonly multiply?: typeof multiplyTransposed;
}

/** Rows or columns of a block. */
const BLOCK = 64;

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
  // One buffer for all blocks: a new one for each would be many times the matrix until it is collected.
  const buffer = new Float64Array(BLOCK * Math.max(rows, cols));
  /** w a^T [count, rows] of w [count, cols]. */
  const forward = (w: Float64Array): Float64Array =>
    byBlocks(rows, (first, size) => {
      const block = buffer.subarray(0, size * cols);
      block.set(matrix.subarray(first * cols, (first + size) * cols));
      return multiply(w, block, count, size, cols);
    });
  /** y a [count, cols] of y [count, rows]. */
  const back = (y: Float64Array): Float64Array =>
    byBlocks(cols, (first, size) => {
      const block = buffer.subarray(0, size * rows);
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < size; j++) block[j * rows + i] = matrix[i * cols + first + j];
      }
      return multiply(y, block, count, size, rows);
    });
  /** [count, length] from its blocks of columns, each [count, size]. */
  function byBlocks(length: number, blockAt: (first: number, size: number) => Float64Array) {
    const out = new Float64Array(count * length);
    for (let first = 0; first < length; first += BLOCK) {
      const size = Math.min(BLOCK, length - first);
      const part = blockAt(first, size);
      for (let k = 0; k < count; k++) {
        out.set(part.subarray(k * size, (k + 1) * size), k * length + first);
      }
    }
    return out;
  }
  const directions = Float64Array.from({ length: count * cols }, () => random.normal());
  let range = orthonormalRows(forward(directions), count, rows);
  for (let power = 0; power < powers; power++) {
    range = orthonormalRows(forward(back(range)), count, rows);
  }
  const small = svdRows(back(range), count, cols);
  const left = small.u.subarray(0, rank * count);
  const u = multiply(left, transpose(range, count, rows), rank, rows, count);
  const v = small.v.subarray(0, rank * cols);
  for (let k = 0; k < rank; k++) {
    if (signOfLargest(u, k * rows, rows) > 0) continue;
    for (let i = k * rows; i < (k + 1) * rows; i++) u[i] *= -1;
    for (let i = k * cols; i < (k + 1) * cols; i++) v[i] *= -1;
  }
  const s = small.s.slice(0, rank);
  return { rows, cols, rank, s, u: transpose(u, rank, rows), v: transpose(v, rank, cols) };
}
