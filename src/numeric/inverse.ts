/**
 * @file Inverses of symmetric positive definite matrices, and the damping that makes a Gram matrix
 * positive definite.
 */
import { cholesky } from "./cholesky.ts";
import { multiplyTransposed, transpose } from "./matrix.ts";

/**
 * H + damping mean(diag H) I for the Gram matrix H [columns, columns]. A matrix of zeros gets I, so
 * that the result is always positive definite.
 */
export function damped(gram: Float64Array, columns: number, damping: number): Float64Array {
  let trace = 0;
  for (let i = 0; i < columns; i++) trace += gram[i * columns + i];
  const level = trace > 0 ? (damping * trace) / columns : 1;
  const sum = gram.slice();
  for (let i = 0; i < columns; i++) sum[i * columns + i] += level;
  return sum;
}

/**
 * The upper triangular R of H = R R^T, for `matrix` = H [n, n]. Rows and columns in reverse order make
 * it the ordinary lower Cholesky factor. Throws as cholesky does.
 */
export const upperFactor = (matrix: Float64Array, n: number): Float64Array<ArrayBuffer> =>
  cholesky(matrix.slice().reverse(), n).reverse();

/** The inverse of an upper triangular matrix [n, n]. */
export const inverseOfUpper = (factor: Float64Array, n: number): Float64Array<ArrayBuffer> =>
  invertLower(factor.slice().reverse(), n).reverse();

/**
 * The upper triangular U of H^-1 = U^T U, for `matrix` = H [n, n]: U = R^-1 with R of `upperFactor`,
 * so one factor and its inverse are all that is computed. Throws as cholesky does.
 */
export const inverseFactor = (matrix: Float64Array, n: number): Float64Array<ArrayBuffer> =>
  inverseOfUpper(upperFactor(matrix, n), n);

/**
 * Lets the columns behind `column` of one row make up for an error e there: w_k -= e / U_jj U_jk for
 * k > j, with U from `inverseFactor` [n, n] and n the length of the row. It adds the square of the
 * result, e / U_jj, to the error of the outputs.
 */
export function compensate(
  row: Float64Array,
  column: number,
  error: number,
  upper: Float64Array,
): number {
  const n = row.length;
  const from = column * n;
  const share = error / upper[from + column];
  if (share !== 0) for (let k = column + 1; k < n; k++) row[k] -= share * upper[from + k];
  return share;
}

/**
 * The inverse X of a lower triangular matrix, in its place:
 *
 *   X_i = (e_i - sum_{j<i} L_ij X_j) / L_ii
 *
 * Four rows are computed together for all j before them, so that the finished rows are read
 * a quarter as often.
 */
function invertLower(l: Float64Array<ArrayBuffer>, n: number): Float64Array<ArrayBuffer> {
  for (let first = 0; first < n; first += 4) {
    const count = Math.min(4, n - first);
    const given = l.slice(first * n, (first + count) * n);
    l.fill(0, first * n, (first + count) * n);
    if (count === 4) subtractDone(l, given, first, n);
    for (let row = 0; row < count; row++) {
      const to = (first + row) * n;
      for (let j = count === 4 ? first : 0; j < first + row; j++) {
        const factor = given[row * n + j];
        for (let k = 0, from = j * n; k <= j; k++) l[to + k] -= factor * l[from + k];
      }
      const scale = 1 / given[row * n + first + row];
      for (let k = 0; k < first + row; k++) l[to + k] *= scale;
      l[to + first + row] = scale;
    }
  }
  return l;
}

/** Subtracts L_ij X_j from the four rows from `first` on, for all j < first. */
function subtractDone(l: Float64Array, given: Float64Array, first: number, n: number): void {
  const a = first * n;
  for (let j = 0; j < first; j++) {
    const [f0, f1] = [given[j], given[n + j]];
    const [f2, f3] = [given[2 * n + j], given[3 * n + j]];
    for (let k = 0, from = j * n; k <= j; k++) {
      const x = l[from + k];
      l[a + k] -= f0 * x;
      l[a + n + k] -= f1 * x;
      l[a + 2 * n + k] -= f2 * x;
      l[a + 3 * n + k] -= f3 * x;
    }
  }
}

/**
 * The inverse of a symmetric positive definite matrix [n, n], exactly symmetric. Throws as cholesky
 * does.
 */
export function inverse(matrix: Float64Array, n: number): Float64Array {
  const columns = transpose(inverseFactor(matrix, n), n, n);
  return multiplyTransposed(columns, columns, n, n, n);
}
