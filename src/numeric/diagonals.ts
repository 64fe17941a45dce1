/**
 * @file A matrix as a product of fixed matrices and diagonals, W ~ M_0 diag(x_1) M_1 ... diag(x_K) M_K,
 * fitted by least squares over one diagonal after the other.
 *
 * W is linear in each diagonal x given the others: W ~ L diag(x) R = sum_t x_t L[:, t] R[t, :], so that
 *   ((L^T L) o (R R^T)) x = diag(L^T W R^T)     with o the product of entries
 */
import { solveSpd } from "./cholesky.ts";
import { circle } from "./circle.ts";
import { evenSizes } from "./even-sizes.ts";
import { multiplyTransposed, transpose } from "./matrix.ts";
import type { Random } from "./random.ts";

/**
 * Each step is held back by this share of the mean curvature. Entries without an effect of their own
 * stay where they are, and none grows large against others that cancel it: rounding would spoil that.
 */
const DAMPING = 0.1;

/** A square matrix [n, n], row-major. */
type Square = Float64Array;

/** a b. */
const multiply = (a: Square, b: Square, n: number): Square =>
  multiplyTransposed(a, transpose(b, n, n), n, n, n);

/** a diag(x): column t times x_t. */
const scaleColumns = (a: Square, x: Float64Array, n: number): Square =>
  a.map((v, at) => v * x[at % n]);

/**
 * The diagonals x_1 ... x_K after `sweeps` passes over all of them from `start`; the error of W [n, n]
 * never grows. `matrices` are M_0 ... M_K. Rows and columns from `height` and `width` on do not count.
 * In the end all diagonals have the same root mean square.
 */
export function fitDiagonals(
  w: Square,
  n: number,
  matrices: readonly Square[],
  start: readonly Float64Array[],
  sweeps: number,
  { height = n, width = n }: { readonly height?: number; readonly width?: number } = {},
): Float64Array[] {
  const fixed: Square[] = matrices.slice();
  fixed[0] = fixed[0].map((v, at) => (at < height * n ? v : 0));
  const last = fixed.length - 1;
  fixed[last] = fixed[last].map((v, at) => (at % n < width ? v : 0));
  const diagonals: Float64Array[] = start.map((x) => x.slice());
  for (let sweep = 0; sweep < sweeps; sweep++) {
    // Behind diagonal k: M_k diag(x_(k + 1)) M_(k + 1) ... M_K, for all k, of the diagonals so far.
    const behind = fixed.slice();
    for (let k = last - 1; k > 0; k--) {
      behind[k] = multiply(scaleColumns(fixed[k], diagonals[k], n), behind[k + 1], n);
    }
    let before = fixed[0];
    for (let k = 0; k < last; k++) {
      diagonals[k] = bestDiagonal(w, n, before, behind[k + 1], diagonals[k]);
      before = multiply(scaleColumns(before, diagonals[k], n), fixed[k + 1], n);
    }
  }
  return evenSizes(diagonals);
}

/**
 * The x with the least |W - L diag(x) R|^2 + damping |x - otherwise|^2, whose error is never larger than
 * that of `otherwise`; just that if L or R is zero.
 */
function bestDiagonal(
  w: Square,
  n: number,
  left: Square,
  right: Square,
  otherwise: Float64Array,
): Float64Array {
  const turned = transpose(left, n, n);
  const normal = multiplyTransposed(turned, turned, n, n, n);
  const gram = multiplyTransposed(right, right, n, n, n);
  let trace = 0;
  for (let i = 0; i < normal.length; i++) normal[i] *= gram[i];
  for (let t = 0; t < n; t++) trace += normal[t * n + t];
  if (!(trace > 0)) return otherwise;
  // (L^T W) [n, n]; its row t times row t of R.
  const along = multiplyTransposed(turned, transpose(w, n, n), n, n, n);
  const wanted = new Float64Array(n);
  for (let t = 0; t < n; t++) {
    for (let j = t * n; j < (t + 1) * n; j++) wanted[t] += along[j] * right[j];
  }
  const damping = (DAMPING * trace) / n;
  for (let t = 0; t < n; t++) {
    normal[t * n + t] += damping;
    wanted[t] += damping * otherwise[t];
  }
  return solveSpd(normal, n, wanted);
}

/** The unit matrix [n, n]. */
export const identity = (n: number): Square =>
  Float64Array.from({ length: n * n }, (_, at) => Number(at % (n + 1) === 0));

/** A diagonal of -1 and 1 to start from. */
export const drawnSigns = (random: Random, n: number): Float64Array =>
  Float64Array.from({ length: n }, () => 2 * random.int(2) - 1);

/** Work per sweep grows with n^3; larger blocks get fewer sweeps. */
export const sweepsFor = (n: number): number =>
  Math.max(2, Math.min(24, Math.round(2 ** 25 / n ** 3)));

/** The Walsh-Hadamard matrix H / sqrt(n): H[i, j] = -1 to the number of bits that i and j share. */
export function hadamard(n: number): Float64Array {
  return Float64Array.from({ length: n * n }, (_, at) => {
    let shared = Math.floor(at / n) & (at % n);
    let sign = 1;
    for (; shared > 0; shared &= shared - 1) sign = -sign;
    return sign / Math.sqrt(n);
  });
}

/** The orthonormal DCT-II: C[k, t] = sqrt(2 / n) cos(pi (t + 1/2) k / n), row 0 over sqrt(2). */
export function cosines(n: number): Float64Array {
  const { cos } = circle(4 * n);
  return Float64Array.from({ length: n * n }, (_, at) => {
    const [k, t] = [Math.floor(at / n), at % n];
    return Math.sqrt((k === 0 ? 1 : 2) / n) * cos[((2 * t + 1) * k) % (4 * n)];
  });
}
