/**
 * @file Tensor trains: a tensor as a chain of small cores (TT-SVD, Oseledets 2011).
 *
 *   t[i_1, ..., i_d] ~ G_1[i_1, :] G_2[:, i_2, :] ... G_d[:, i_d],   G_k [r_(k-1), n_k, r_k]
 *
 * Unfolding k is t as a matrix [n_1 ... n_k, n_(k+1) ... n_d]. With the singular values s of all of
 * them, cutting r_k leaves a squared error of at most sum_k sum_(i > r_k) s_k,i^2, and at most d - 1
 * times that of the best train of these ranks.
 */
import { product } from "../util/product.ts";
import { evenSizes } from "./even-sizes.ts";
import { multiplyTransposed, transpose } from "./matrix.ts";
import { svd, truncate } from "./svd.ts";

/** A tensor train of a tensor [n_1, ..., n_d]. */
export interface TensorTrain {
  /** r_1, ..., r_(d-1). */
  readonly ranks: readonly number[];
  /** Core k [r_(k-1), n_k, r_k], row-major, with r_0 = r_d = 1. All have the same root mean square. */
  readonly cores: readonly Float32Array[];
}

/** How many numbers the cores of these ranks hold. */
export function trainSize(dims: readonly number[], ranks: readonly number[]): number {
  const all = [1, ...ranks, 1];
  return dims.reduce((sum, n, k) => sum + all[k] * n * all[k + 1], 0);
}

/**
 * The tensor train of `t` [dims] with at most `numbers` numbers: the ranks with the least bound on the
 * error, then one SVD after the other. Null if not even ranks of 1 fit. With enough numbers it is
 * exact. Throws TersorError "bad-number" for entries that are not finite.
 */
export function tensorTrain(
  t: Float32Array | Float64Array,
  dims: readonly number[],
  numbers: number,
): TensorTrain | null {
  const tails = dims.slice(1).map((_, k) => {
    const rows = product(dims.slice(0, k + 1));
    return tailsOf(svd(t, rows, t.length / rows).s);
  });
  const ranks = bestRanks(dims, tails, numbers);
  if (!ranks) return null;
  const cores: Float64Array[] = [];
  const kept: number[] = [];
  let rest = Float64Array.from(t);
  for (const [k, rank] of ranks.entries()) {
    const rows = (kept.at(-1) ?? 1) * dims[k];
    const cut = truncate(svd(rest, rows, rest.length / rows), rank);
    cores.push(cut.u);
    kept.push(cut.rank);
    // diag(s) V^T is u^T times what was left.
    const across = rest.length / rows;
    rest = multiplyTransposed(
      transpose(cut.u, rows, cut.rank),
      transpose(rest, rows, across),
      cut.rank,
      across,
      rows,
    );
  }
  return { ranks: kept, cores: evenSizes([...cores, rest]).map((core) => Float32Array.from(core)) };
}

/** tails[r] = sum of s_i^2 over i >= r, for r from 0 to the number of singular values. */
function tailsOf(s: Float64Array): Float64Array {
  const tails = new Float64Array(s.length + 1);
  for (let r = s.length - 1; r >= 0; r--) tails[r] = tails[r + 1] + s[r] * s[r];
  return tails;
}

/**
 * The ranks with the smallest sum of tails whose cores hold at most `numbers` numbers: all ranks but
 * the last are tried, and the last is as large as they allow. Null if none fit.
 */
function bestRanks(
  dims: readonly number[],
  tails: readonly Float64Array[],
  numbers: number,
): readonly number[] | null {
  let best: readonly number[] | null = null;
  let least = Number.POSITIVE_INFINITY;
  const [next, last] = dims.slice(-2);
  const tryFrom = (ranks: readonly number[], size: number, tail: number): void => {
    if (tail >= least) return;
    const k = ranks.length;
    const before = ranks.at(-1) ?? 1;
    const most = tails[k].length - 1;
    if (k === tails.length - 1) {
      const rank = Math.min(most, Math.floor((numbers - size) / (before * next + last)));
      if (rank < 1 || tail + tails[k][rank] >= least) return;
      least = tail + tails[k][rank];
      best = [...ranks, rank];
      return;
    }
    for (let rank = 1; rank <= Math.min(most, before * dims[k]); rank++) {
      const grown = size + before * dims[k] * rank;
      if (grown >= numbers) break;
      tryFrom([...ranks, rank], grown, tail + tails[k][rank]);
    }
  };
  tryFrom([], 0, 0);
  return best;
}

/** All ways to write n as an ordered product of `count` factors. */
export function factorizations(n: number, count: number): number[][] {
  if (count === 1) return [[n]];
  const found: number[][] = [];
  for (let d = 1; d <= n; d++) {
    if (n % d === 0) for (const rest of factorizations(n / d, count - 1)) found.push([d, ...rest]);
  }
  return found;
}

/**
 * Factors of rows and of columns for a train of `count` cores: core k has rows[k] columns[k] entries
 * of t, all as near to one another as divisors allow, because the middle cores are the largest.
 */
export function splitSizes(
  rows: number,
  columns: number,
  count: number,
): { readonly rows: readonly number[]; readonly columns: readonly number[] } {
  const others = factorizations(columns, count);
  let best = { rows: [] as readonly number[], columns: [] as readonly number[] };
  let least = Number.POSITIVE_INFINITY;
  for (const left of factorizations(rows, count)) {
    for (const right of others) {
      // With their product given, factors have the least sum of squares where they are equal.
      const size = left.reduce((sum, m, k) => sum + (m * right[k]) ** 2, 0);
      if (size < least) [least, best] = [size, { rows: left, columns: right }];
    }
  }
  return best;
}
