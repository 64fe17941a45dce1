/** @file Medians, quantiles and 95 % confidence intervals; no randomness, so the same data give the same figures. */

export type Interval = readonly [number, number];

/** Standard normal quantile of 0.975. */
const z = 1.959963984540054;

/** NaN for no values. */
export function median(values: ArrayLike<number>): number {
  return quantile(values, 0.5);
}

/** Linear interpolation between the order statistics around (n - 1) q (Hyndman & Fan 1996, type 7). */
export function quantile(values: ArrayLike<number>, q: number): number {
  const sorted = Float64Array.from(values).sort();
  const position = (sorted.length - 1) * q;
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  // Without the test, equal infinities would give NaN.
  if (sorted[below] === sorted[above]) return sorted[below];
  return sorted[below] + (sorted[above] - sorted[below]) * (position - below);
}

/** Wilson score interval of a proportion (Wilson 1927), as proportions. */
export function wilson(hits: number, n: number): Interval {
  const p = hits / n;
  const scale = 1 / (1 + (z * z) / n);
  const centre = scale * (p + (z * z) / (2 * n));
  const half = scale * z * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}

/**
 * Ratio of sums R = sum y / sum x over independent clusters (sequences), and its normal interval from
 * the linearized variance n/(n-1) sum (y_i - R x_i)^2 / (sum x)^2 (Cochran 1977, eq. 6.13). With all
 * x = 1 this is the mean and its standard error. No interval from fewer than two clusters.
 */
export function ratioOfSums(
  y: ArrayLike<number>,
  x: ArrayLike<number>,
): { value: number; ci95: Interval | null } {
  const n = y.length;
  let sumX = 0;
  let sumY = 0;
  for (let i = 0; i < n; i++) {
    sumX += x[i];
    sumY += y[i];
  }
  const value = sumY / sumX;
  if (n < 2 || !Number.isFinite(value)) return { value, ci95: null };
  let squares = 0;
  for (let i = 0; i < n; i++) squares += (y[i] - value * x[i]) ** 2;
  const half = (z * Math.sqrt((n / (n - 1)) * squares)) / sumX;
  return { value, ci95: [value - half, value + half] };
}

/**
 * Interval of a median from the sign test: the k-th smallest and largest values, with the largest k
 * for which P(Binomial(n, 1/2) < k) <= 0.025. Assumes independent values and nothing about their
 * distribution. Null below six values, where even the extremes cover less than 95 %.
 */
export function medianInterval(values: ArrayLike<number>): Interval | null {
  const n = values.length;
  // P(X = i) in logarithms: 2^-n underflows beyond n = 1074.
  let logTerm = -n * Math.LN2;
  let tail = Math.exp(logTerm);
  let k = 0;
  while (tail <= 0.025) {
    k++;
    logTerm += Math.log((n - k + 1) / k);
    tail += Math.exp(logTerm);
  }
  if (k === 0) return null;
  const sorted = Float64Array.from(values).sort();
  return [sorted[k - 1], sorted[n - k]];
}
