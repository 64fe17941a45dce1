/**
 * @file Tucker decomposition of two modes of a tensor x [n, c, p]; the third mode stays whole.
 *
 *   x[i,j,t] = sum_ab left[i,a] right[j,b] core[a,b,t]
 *
 * The higher-order SVD takes the eigenvectors of the Gram matrices of both unfoldings (De Lathauwer
 * et al. 2000a). Higher-order orthogonal iteration improves them in turn (De Lathauwer et al. 2000b):
 * given one, the other's best choice are the leading vectors of what the first keeps.
 */
import { symmetricEigen } from "./eigen.ts";
import { multiplyTransposed, transpose } from "./matrix.ts";

/** Sizes n, c and p of a tensor, row-major. */
export type Sizes = readonly [number, number, number];

/** The complete higher-order SVD. */
export interface Hosvd {
  readonly sizes: Sizes;
  /** [n, n] and [c, c]: orthonormal rows, the most important first. */
  readonly left: Float64Array;
  readonly right: Float64Array;
  /**
   * [n + 1, c + 1]: the energy sum x^2 that the first a vectors of `left` and the first b of
   * `right` keep. Never falls with a or b.
   */
  readonly kept: Float64Array;
}

/** A truncated decomposition. */
export interface Tucker {
  /** [a, n] and [b, c] with orthonormal rows. */
  readonly left: Float64Array;
  readonly right: Float64Array;
  /** [a, b, p]. */
  readonly core: Float64Array;
  /** sum (x - x')^2. */
  readonly error: number;
}

/** The higher-order SVD of both modes. */
export function hosvd(x: Float64Array, sizes: Sizes): Hosvd {
  const [n, c] = sizes;
  const left = leading(x, sizes, n);
  const right = leading(swap(x, sizes), [c, n, sizes[2]], c);
  const core = project(x, sizes, left, right, n, c);
  return { sizes, left, right, kept: prefixSums(core, sizes) };
}

/**
 * The decomposition with ranks a and b, starting from `start`. Each sweep lowers the error or leaves
 * it; they end when one lowers it by less than the share `tolerance` of the energy.
 */
export function hooi(
  x: Float64Array,
  start: Hosvd,
  [a, b]: readonly [number, number],
  { sweeps = 10, tolerance = 1e-4 } = {},
): Tucker {
  const { sizes, kept } = start;
  const [n, c, p] = sizes;
  const total = kept[kept.length - 1];
  let left = start.left.slice(0, a * n);
  let right = start.right.slice(0, b * c);
  let energy = kept[a * (c + 1) + b];
  const turned = swap(x, sizes);
  for (let sweep = 0; sweep < sweeps && (a < n || b < c); sweep++) {
    left = leading(along(turned, [c, n, p], right, b), [n, b, p], a);
    const narrow = along(x, sizes, left, a);
    right = leading(narrow, [c, a, p], b);
    const now = sumOfSquares(along(narrow, [c, a, p], right, b));
    if (now - energy < tolerance * total) break;
    energy = now;
  }
  const core = project(x, sizes, left, right, a, b);
  return { left, right, core, error: Math.max(0, total - sumOfSquares(core)) };
}

/** The `count` leading eigenvectors, as rows, of the Gram matrix of the first mode. */
function leading(x: Float64Array, [n, c, p]: Sizes, count: number): Float64Array<ArrayBuffer> {
  return symmetricEigen(multiplyTransposed(x, x, n, n, c * p), n).vectors.slice(0, count * n);
}

/** [c, k, p]: sum_i basis[k,i] x[i,c,p], the first mode projected and put second. */
function along(
  x: Float64Array,
  [n, c, p]: Sizes,
  basis: Float64Array,
  count: number,
): Float64Array<ArrayBuffer> {
  const columns = transpose(x, n, c * p);
  const projected = multiplyTransposed(basis, columns, count, c * p, n);
  return swap(projected, [count, c, p]);
}

/** core [a, b, p]: both modes projected. */
function project(
  x: Float64Array,
  sizes: Sizes,
  left: Float64Array,
  right: Float64Array,
  a: number,
  b: number,
): Float64Array<ArrayBuffer> {
  const [, c, p] = sizes;
  return along(along(x, sizes, left, a), [c, a, p], right, b);
}

/** [c, n, p] of x [n, c, p]. */
function swap(x: Float64Array, [n, c, p]: Sizes): Float64Array<ArrayBuffer> {
  const out = new Float64Array(x.length);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < c; j++) {
      const from = (i * c + j) * p;
      for (let t = 0; t < p; t++) out[(j * n + i) * p + t] = x[from + t];
    }
  }
  return out;
}

/** [n + 1, c + 1]: the sums of squares of core[< a, < b, :]. */
function prefixSums(core: Float64Array, [n, c, p]: Sizes): Float64Array {
  const sums = new Float64Array((n + 1) * (c + 1));
  for (let i = 0; i < n; i++) {
    let row = 0;
    for (let j = 0; j < c; j++) {
      const from = (i * c + j) * p;
      for (let t = from; t < from + p; t++) row += core[t] * core[t];
      sums[(i + 1) * (c + 1) + j + 1] = sums[i * (c + 1) + j + 1] + row;
    }
  }
  return sums;
}

function sumOfSquares(x: Float64Array): number {
  let sum = 0;
  for (const v of x) sum += v * v;
  return sum;
}
