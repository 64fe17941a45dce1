/** @file Spectra: which ranks are worth offering, and what each leaves. */
import type { Point } from "./decomposition.ts";

/**
 * The ranks from 1 to `full` that kernels like: all up to `multiple`, above it its multiples, and
 * `full` itself.
 */
export function ranksUpTo(full: number, multiple: number): number[] {
  return Array.from({ length: full }, (_, i) => i + 1).filter(
    (rank) => rank <= multiple || rank % multiple === 0 || rank === full,
  );
}

/**
 * tails[r] = the sum of s_k^2 over k >= r, for r = 0 to the number of singular values: the squared
 * error at rank r. Summed from the small end, so that it is 0 exactly where only zeros are dropped.
 */
export function tailsOf(s: ArrayLike<number>): Float64Array {
  const tails = new Float64Array(s.length + 1);
  for (let r = s.length - 1; r >= 0; r--) tails[r] = tails[r + 1] + s[r] * s[r];
  return tails;
}

/** Of points in ascending order of cost, those with less error than all before them. */
export function unbeaten(sorted: readonly Point[]): Point[] {
  let least = Number.POSITIVE_INFINITY;
  return sorted.filter(({ error }) => {
    const better = error < least;
    if (better) least = error;
    return better;
  });
}

/** The smallest point with at least these ranks; the largest if there is none. */
export const atLeast = (points: readonly Point[], wanted: readonly number[]): Point =>
  points.find(({ ranks }) => ranks.every((rank, i) => rank >= wanted[i])) ??
  (points.at(-1) as Point);
