/**
 * @file How many singular values stand out of the noise: the rank of empirical variational Bayesian
 * matrix factorization, in closed form (Nakajima, Sugiyama, Babacan & Tomioka 2013, "Global analytic
 * solution of fully-observed variational Bayesian matrix factorization", JMLR 14, theorems 2 and 3).
 *
 * For a matrix [l, m], l <= m, of a low-rank signal and noise of variance v, with alpha = l / m, a
 * component is kept if s^2 > m v x*, where
 *
 *   x* = (1 + t)(1 + alpha / t),   phi(t) + phi(t / alpha) = 0,   phi(z) = log(z + 1) / z - 1/2
 *
 * and v minimizes, with x_h = s_h^2 / (m v) and psi_0(x) = x - log x,
 *
 *   sum_h psi_0(x_h) + sum over x_h > x* of psi_1(x_h)
 *   psi_1(x) = log(tau + 1) + alpha log(tau / alpha + 1) - tau
 *   tau(x) = (x - 1 - alpha + sqrt((x - 1 - alpha)^2 - 4 alpha)) / 2
 */
import { exp } from "./exp.ts";
import { log } from "./log.ts";

/** What the singular values say about the matrix. */
export interface Noise {
  /** Components that stand out of the noise. */
  readonly rank: number;
  /** The variance of one entry of the noise. */
  readonly variance: number;
}

/** Trial variances between the bounds; the best is refined. */
const TRIALS = 200;

/** `s`: the min(rows, cols) singular values of a matrix [rows, cols], in descending order. */
export function vbmfRank(s: ArrayLike<number>, rows: number, cols: number): Noise {
  const l = Math.min(rows, cols);
  const m = Math.max(rows, cols);
  const alpha = l / m;
  const squares = Float64Array.from({ length: l }, (_, h) => s[h] ** 2);
  const total = squares.reduce((sum, x) => sum + x, 0);
  if (total === 0) return { rank: 0, variance: 0 };
  const least = standOut(alpha);
  // No more components than this can stand out of their own tail (theorem 3).
  const most = Math.min(Math.ceil(l / (1 + alpha)) - 1, l - 1);
  const tail = squares.subarray(most);
  const mean = tail.reduce((sum, x) => sum + x, 0) / tail.length;
  const high = log(total / (l * m));
  const low = log(Math.max(tail[0] / (m * least), mean / m, 1e-30 * (total / (l * m))));
  const cost = (v: number): number => freeEnergy(squares, v, m, alpha, least);
  const at = (i: number): number => exp(low + (i * (high - low)) / TRIALS);
  let best = 0;
  for (let i = 1; i <= TRIALS; i++) if (cost(at(i)) < cost(at(best))) best = i;
  const variance = refine(cost, at(Math.max(0, best - 1)), at(Math.min(TRIALS, best + 1)));
  return { rank: squares.filter((x) => x > m * variance * least).length, variance };
}

/** x*, by bisection: phi falls from 1/2 at 0 to -1/2. */
function standOut(alpha: number): number {
  const phi = (z: number): number => log(z + 1) / z - 0.5;
  let [low, high] = [1e-9, 10];
  for (let i = 0; i < 80; i++) {
    const t = (low + high) / 2;
    if (phi(t) + phi(t / alpha) > 0) low = t;
    else high = t;
  }
  return (1 + low) * (1 + alpha / low);
}

/** The free energy per m, but for constants, at noise variance v. */
function freeEnergy(squares: Float64Array, v: number, m: number, alpha: number, least: number) {
  let sum = 0;
  for (const square of squares) {
    // An exact zero would give log 0 whatever v is; it counts as rounding.
    const x = Math.max(square, squares[0] * 2 ** -100) / (m * v);
    sum += x - log(x);
    if (x <= least) continue;
    const b = x - 1 - alpha;
    const tau = (b + Math.sqrt(Math.max(0, b * b - 4 * alpha))) / 2;
    sum += log(tau + 1) + alpha * log(tau / alpha + 1) - tau;
  }
  return sum;
}

/** The least point of `cost` between two, by golden sections. */
function refine(cost: (v: number) => number, from: number, to: number): number {
  const share = (Math.sqrt(5) - 1) / 2;
  let [low, high] = [from, to];
  for (let i = 0; i < 60; i++) {
    const step = share * (high - low);
    if (cost(high - step) <= cost(low + step)) high = low + step;
    else low = high - step;
  }
  return (low + high) / 2;
}
