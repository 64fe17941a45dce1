/** @file Which directions of hidden states are kept, and how the others are told from them. */
import type { Eigen } from "../numeric/eigen.ts";
import { damped, inverse } from "../numeric/inverse.ts";
import { multiplyTransposed, transpose } from "../numeric/matrix.ts";
import { orthonormalRows } from "../numeric/qr.ts";

/** Of mean(diag), added to the moments of what is left, so that they have an inverse. */
const DAMPING = 1e-6;

/**
 * A^T [width, n] with the leading eigenvectors as rows. With `keepsMean`, what is left still has the
 * mean of all features as its mean: A^T = 1' 1^T / sqrt(width n) + E Q, with the leading eigenvectors Q
 * [width - 1, n], which are orthogonal to 1, and E [width, width - 1] orthonormal and orthogonal to 1'.
 */
export function keptDirections(eigen: Eigen, width: number, keepsMean: boolean): Float64Array {
  const n = eigen.values.length;
  if (!keepsMean) return eigen.vectors.slice(0, width * n);
  const rows = new Float64Array(width * width);
  for (let i = 0; i < width; i++) {
    for (let j = 0; j < width; j++) rows[i * width + j] = i === 0 || i === j ? 1 : 0;
  }
  const basis = orthonormalRows(rows, width, width);
  const directions = new Float64Array(width * n);
  directions.fill(1 / Math.sqrt(n), 0, n);
  directions.set(eigen.vectors.subarray(0, (width - 1) * n), n);
  return multiplyTransposed(
    transpose(basis, width, width),
    transpose(directions, width, n),
    width,
    n,
    width,
  );
}

/**
 * R [width, n] of n ~ n' R by least squares, from the moments n'^T [n', n] [width, width + n]:
 * R = (n'^T n')^-1 n'^T n.
 */
export function fitBack(moments: Float64Array, width: number, n: number): Float64Array {
  const [own, cross] = [new Float64Array(width * width), new Float64Array(width * n)];
  for (let i = 0; i < width; i++) {
    const row = moments.subarray(i * (width + n), (i + 1) * (width + n));
    own.set(row.subarray(0, width), i * width);
    cross.set(row.subarray(width), i * n);
  }
  const inverted = inverse(damped(own, width, DAMPING), width);
  return multiplyTransposed(inverted, transpose(cross, width, n), width, n, width);
}
