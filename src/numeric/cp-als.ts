/**
 * @file Canonical polyadic (CP) decomposition by alternating least squares, with a stability guard.
 *
 *   x[i, j, k, ...] = sum_r A[r, i] B[r, j] C[r, k] ...
 *
 * A best approximation of given rank may not exist: terms can grow without bound and cancel (de Silva
 * & Lim 2008). Such terms lose all digits in float32 and cannot be trained. So what is minimized is
 *
 *   |x - x'|^2 + damping sum_r |A_r|^2 |B_r|^2 |C_r|^2 ...
 *
 * the Lagrangian of error-preserving correction, which bounds the norms of the terms (Phan et al.
 * 2020, arXiv 2008.05441). It has a minimum, and there sum_r |term_r|^2 <= |x|^2 / damping. The norms
 * of the other factors' columns are the diagonal of their Gram matrix G, so one step solves
 *
 *   A (G + damping diag G) = x_(1) (B * C * ...)
 */
import { solveSpd } from "./cholesky.ts";
import { symmetricEigen } from "./eigen.ts";
import { power } from "./exp.ts";
import { multiplyTransposed, transpose } from "./matrix.ts";
import { svd } from "./svd.ts";

/** A sum of rank-one terms. */
export interface Cp {
  /** One size per mode. */
  readonly sizes: readonly number[];
  readonly rank: number;
  /** For each mode [rank, size]; the rows of one term have equal norms. */
  readonly factors: readonly Float64Array[];
}

/** One rank-one term: a unit vector per mode and its norm, positive. */
export interface Term {
  readonly size: number;
  readonly vectors: readonly Float64Array[];
}

export interface AlsOptions {
  /** Weight of the terms' squared norms beside the squared error. */
  readonly damping?: number;
  readonly sweeps?: number;
  /** A sweep that lowers the objective by less than this share of |x|^2 is the last. */
  readonly tolerance?: number;
}

/**
 * x as a sum of terms orthogonal to one another, the largest first: sum size^2 = |x|^2, and the first
 * r leave the squared error sum_{k>r} size_k^2. Where to begin with `cpAls`, and a bound on its error.
 *
 * Every mode but the first two is turned to the eigenvectors of its own unfolding; what belongs to
 * one choice of these vectors is a matrix, which its singular value decomposition makes terms.
 */
export function orthogonalTerms(x: Float64Array, sizes: readonly number[]): Term[] {
  const [n, c, ...inner] = sizes;
  const p = inner.reduce((a, b) => a * b, 1);
  // [p, n c], so that a choice of vectors is a row.
  let turned: Float64Array = transpose(x, n * c, p);
  const bases = inner.map((size, mode) => {
    const after = inner.slice(mode + 1).reduce((a, b) => a * b, n * c);
    const unfolded = modeFirst(turned, size, after);
    const gram = multiplyTransposed(unfolded, unfolded, size, size, unfolded.length / size);
    const { vectors } = symmetricEigen(gram, size);
    turned = alongMode(turned, vectors, size, after);
    return vectors;
  });
  const terms = Array.from({ length: p }, (_, at) => {
    let rest = at;
    const own = [...bases.entries()].reverse().map(([mode, basis]) => {
      const row = rest % inner[mode];
      rest = Math.floor(rest / inner[mode]);
      return basis.slice(row * inner[mode], (row + 1) * inner[mode]);
    });
    const { u, s, v, rank } = svd(turned.subarray(at * n * c, (at + 1) * n * c), n, c);
    const [left, right] = [transpose(u, n, rank), transpose(v, c, rank)];
    return [...s].map((size, k) => {
      const pair = [left.slice(k * n, (k + 1) * n), right.slice(k * c, (k + 1) * c)];
      return { size, vectors: [...pair, ...own.toReversed()] };
    });
  });
  return terms
    .flat()
    .filter(({ size }) => size > 0)
    .sort((a, b) => b.size - a.size);
}

/** [size, others] of y [before, size, after]. */
function modeFirst(y: Float64Array, size: number, after: number): Float64Array {
  const out = new Float64Array(y.length);
  const before = y.length / size / after;
  for (let i = 0; i < before; i++) {
    for (let k = 0; k < size; k++) {
      const from = (i * size + k) * after;
      out.set(y.subarray(from, from + after), (k * before + i) * after);
    }
  }
  return out;
}

/** sum_k basis[l, k] y[before, k, after], in the shape of y. */
function alongMode(y: Float64Array, basis: Float64Array, size: number, after: number) {
  const out = new Float64Array(y.length);
  for (let block = 0; block < y.length; block += size * after) {
    for (let l = 0; l < size; l++) {
      for (let k = 0; k < size; k++) {
        const share = basis[l * size + k];
        const [to, from] = [block + l * after, block + k * after];
        for (let t = 0; t < after; t++) out[to + t] += share * y[from + t];
      }
    }
  }
  return out;
}

/** The sum of terms as factors; each takes an equal share of the norm. */
export function cpOf(terms: readonly Term[], sizes: readonly number[]): Cp {
  const factors = sizes.map((size) => new Float64Array(terms.length * size));
  for (const [r, term] of terms.entries()) {
    const share = power(term.size, 1 / sizes.length);
    for (const [mode, vector] of term.vectors.entries()) {
      factors[mode].set(
        vector.map((v) => v * share),
        r * sizes[mode],
      );
    }
  }
  return { sizes, rank: terms.length, factors };
}

/** The decomposition of x of the rank of `start`, from there on. Its objective is never higher. */
export function cpAls(
  x: Float64Array,
  start: Cp,
  { damping = 1e-4, sweeps = 15, tolerance = 1e-5 }: AlsOptions = {},
): Cp {
  const { sizes, rank } = start;
  const [n, c, ...inner] = sizes;
  const p = inner.reduce((a, b) => a * b, 1);
  const factors: Float64Array[] = start.factors.map((factor) => Float64Array.from(factor));
  const grams = factors.map((factor, mode) => gramOf(factor, rank, sizes[mode]));
  const turned = transpose(x, n, c * p);
  const total = sumOfSquares(x);
  let last = Infinity;
  const update = (mode: number, products: Float64Array): Float64Array => {
    const gram = hadamard(grams.filter((_, other) => other !== mode));
    const factor = solveDamped(gram, products, rank, sizes[mode], damping);
    factors[mode] = factor;
    grams[mode] = gramOf(factor, rank, sizes[mode]);
    return products;
  };
  for (let sweep = 0; sweep < sweeps; sweep++) {
    // The two products over all of x; each step after them reads only their results.
    const byFirst = multiplyTransposed(factors[0], turned, rank, c * p, n);
    const others = khatriRao(factors.slice(2), inner, rank);
    update(1, contractLast(byFirst, others, rank, c, p));
    const left = contractFirst(byFirst, factors[1], rank, c, p);
    for (let mode = 2; mode < sizes.length; mode++) update(mode, without(left, mode - 2));
    const rest = khatriRao(factors.slice(1), sizes.slice(1), rank);
    const products = update(0, multiplyTransposed(rest, x, rank, n, c * p));
    // |x|^2 - 2 <x, x'> + |x'|^2 + damping sum_r |term_r|^2
    const gram = hadamard(grams);
    let objective = total - 2 * inProduct(products, factors[0]);
    for (const value of gram) objective += value;
    for (let r = 0; r < rank; r++) objective += damping * gram[r * rank + r];
    if (last - objective < tolerance * total) break;
    last = objective;
  }
  return balanced({ sizes, rank, factors });

  /** Contracts left [rank, p] with all inner factors but one: [rank, size of that mode]. */
  function without(left: Float64Array, own: number): Float64Array {
    const before = inner.slice(0, own).reduce((a, b) => a * b, 1);
    const size = inner[own];
    const after = p / before / size;
    const head = khatriRao(factors.slice(2, 2 + own), inner.slice(0, own), rank);
    const rest = khatriRao(factors.slice(3 + own), inner.slice(own + 1), rank);
    const narrowed = contractLast(left, rest, rank, before * size, after);
    return contractFirst(narrowed, head, rank, before, size);
  }
}

/** |x - x'|^2 of a decomposition. */
export function cpError(x: Float64Array, { sizes, rank, factors }: Cp): number {
  const [n, ...others] = sizes;
  const columns = others.reduce((a, b) => a * b, 1);
  const rest = transpose(khatriRao(factors.slice(1), others, rank), rank, columns);
  const rebuilt = multiplyTransposed(transpose(factors[0], rank, n), rest, n, columns, rank);
  return x.reduce((sum, v, i) => sum + (v - rebuilt[i]) ** 2, 0);
}

/** The norms of the rank-one terms. */
export function termNorms({ sizes, rank, factors }: Cp): Float64Array {
  const norms = new Float64Array(rank).fill(1);
  for (const [mode, factor] of factors.entries()) {
    for (let r = 0; r < rank; r++) norms[r] *= rowNorm(factor, r, sizes[mode]);
  }
  return norms;
}

/** x (G + damping diag G)^-1 for every column of products [rank, size]. */
function solveDamped(
  gram: Float64Array,
  products: Float64Array,
  rank: number,
  size: number,
  damping: number,
): Float64Array {
  const matrix = gram.slice();
  // A term that has vanished stays 0.
  for (let r = 0; r < rank; r++) matrix[r * rank + r] = gram[r * rank + r] * (1 + damping) || 1;
  return solveSpd(matrix, rank, products, size);
}

const gramOf = (factor: Float64Array, rank: number, size: number): Float64Array =>
  multiplyTransposed(factor, factor, rank, rank, size);

function hadamard(grams: readonly Float64Array[]): Float64Array {
  const [first, ...others] = grams;
  const out = first.slice();
  for (const gram of others) for (let i = 0; i < out.length; i++) out[i] *= gram[i];
  return out;
}

/** [rank, product of sizes]: row r is the outer product of the rows r of all factors. */
function khatriRao(
  factors: readonly Float64Array[],
  sizes: readonly number[],
  rank: number,
): Float64Array {
  let out = new Float64Array(rank).fill(1);
  let width = 1;
  for (const [mode, factor] of factors.entries()) {
    const size = sizes[mode];
    const wider = new Float64Array(rank * width * size);
    for (let r = 0; r < rank; r++) {
      for (let i = 0; i < width; i++) {
        const value = out[r * width + i];
        const to = (r * width + i) * size;
        for (let j = 0; j < size; j++) wider[to + j] = value * factor[r * size + j];
      }
    }
    [out, width] = [wider, width * size];
  }
  return out;
}

/** [rank, a]: sum_t y[r, a, t] v[r, t]. */
function contractLast(y: Float64Array, v: Float64Array, rank: number, a: number, t: number) {
  const out = new Float64Array(rank * a);
  for (let r = 0; r < rank; r++) {
    for (let i = 0; i < a; i++) {
      let sum = 0;
      const from = (r * a + i) * t;
      for (let k = 0; k < t; k++) sum += y[from + k] * v[r * t + k];
      out[r * a + i] = sum;
    }
  }
  return out;
}

/** [rank, t]: sum_a y[r, a, t] v[r, a]. */
function contractFirst(y: Float64Array, v: Float64Array, rank: number, a: number, t: number) {
  const out = new Float64Array(rank * t);
  for (let r = 0; r < rank; r++) {
    for (let i = 0; i < a; i++) {
      const value = v[r * a + i];
      const from = (r * a + i) * t;
      for (let k = 0; k < t; k++) out[r * t + k] += y[from + k] * value;
    }
  }
  return out;
}

/** The same terms, the norm of each shared equally by the modes. */
function balanced({ sizes, rank, factors }: Cp): Cp {
  const norms = termNorms({ sizes, rank, factors });
  const even = factors.map((factor, mode) => {
    const size = sizes[mode];
    return factor.map((value, at) => {
      const r = Math.floor(at / size);
      return norms[r] > 0
        ? (value / rowNorm(factor, r, size)) * power(norms[r], 1 / sizes.length)
        : 0;
    });
  });
  return { sizes, rank, factors: even };
}

function rowNorm(factor: Float64Array, row: number, size: number): number {
  let sum = 0;
  for (let i = row * size; i < (row + 1) * size; i++) sum += factor[i] * factor[i];
  return Math.sqrt(sum);
}

function inProduct(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function sumOfSquares(x: Float64Array): number {
  let sum = 0;
  for (const v of x) sum += v * v;
  return sum;
}
