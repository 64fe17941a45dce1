/**
 * @file Medians, quantiles and 95 % confidence intervals. There is no resampling, so the same data
 * give the same figures.
 */

/** Lower and upper end. */
export type Interval = readonly [number, number];

/** Whether an interval is known and contains the value. */
export const contains = (interval: Interval | null, value: number): boolean =>
  interval !== null && interval[0] <= value && interval[1] >= value;

/** The 0.975 quantile of the standard normal distribution. */
const z = 1.959963984540054;

/** The median; NaN for no values. */
export function median(values: ArrayLike<number>): number {
  return quantile(values, 0.5);
}

/**
 * The q-quantile, 0 <= q <= 1, by linear interpolation between the order statistics around (n - 1)
 * q (Hyndman & Fan 1996, type 7); NaN for no values.
 */
export function quantile(values: ArrayLike<number>, q: number): number {
  if (values.length === 0) return Number.NaN;
  const sorted = Float64Array.from(values).sort();
  const position = (sorted.length - 1) * q;
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  // Two equal infinities would otherwise give NaN.
  if (sorted[below] === sorted[above]) return sorted[below];
  return sorted[below] + (sorted[above] - sorted[below]) * (position - below);
}

/**
 * The mode of a histogram: the centre of its fullest bin, of equals the lowest; NaN for no values.
 * Bins have the width 2 IQR n^(-1/3) with the interquartile range IQR of the n values (Freedman,
 * Diaconis 1981), which few large values do not change. Where the IQR is 0, the median.
 */
export function histogramMode(values: readonly number[]): number {
  const width = (2 * (quantile(values, 0.75) - quantile(values, 0.25))) / Math.cbrt(values.length);
  if (!(width > 0)) return median(values);
  const low = values.reduce((a, b) => Math.min(a, b));
  const counts = new Map<number, number>();
  for (const value of values) {
    const bin = Math.floor((value - low) / width);
    counts.set(bin, (counts.get(bin) ?? 0) + 1);
  }
  const fullest = [...counts].reduce((a, b) => ((b[1] - a[1] || a[0] - b[0]) > 0 ? b : a));
  return low + (fullest[0] + 0.5) * width;
}

/**
 * The Wilson score interval of the proportion hits / n (Wilson 1927):
 *
 *   (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)
 */
export function wilson(hits: number, n: number): Interval {
  const p = hits / n;
  const scale = 1 / (1 + (z * z) / n);
  const centre = scale * (p + (z * z) / (2 * n));
  const half = scale * z * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}

/**
 * The interval of the difference of two proportions on the same n records, from the records of which
 * only the first model is right (`lost`) and only the second (`gained`): Bonett and Price 2012
 * ("Adjusted Wald confidence interval for a difference of binomial proportions based on paired data")
 *
 *   p - q -+ z sqrt((p + q - (p - q)^2) / (n + 2)),  p = (lost + 1) / (n + 2),  q = (gained + 1) / (n + 2)
 *
 * Records that both models judge alike do not widen it, as they would the difference of two
 * independent intervals.
 */
export function pairedInterval(lost: number, gained: number, n: number): Interval {
  const p = (lost + 1) / (n + 2);
  const q = (gained + 1) / (n + 2);
  const half = z * Math.sqrt((p + q - (p - q) ** 2) / (n + 2));
  return [p - q - half, p - q + half];
}

/**
 * The ratio of sums R = sum y / sum x over independent clusters (sequences), and its normal
 * interval from the linearized variance (Cochran 1977, eq. 6.13)
 *
 *   n / (n - 1) sum (y_i - R x_i)^2 / (sum x)^2
 *
 * With all x = 1 this is the mean and its standard error. Fewer than two clusters give no interval.
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
 * The interval of a median from the sign test: the k-th smallest and the k-th largest value, with
 * the largest k for which P(Binomial(n, 1/2) < k) <= 0.025. The values must be independent;
 * nothing is assumed about their distribution. Null below six values, where even the extremes
 * cover less than 95 %.
 */
export function medianInterval(values: ArrayLike<number>): Interval | null {
  const n = values.length;
  // C(n, i) / C(n, n/2) for i up to the middle. Ratios alone are exact enough and the same in every
  // engine; 2^-n itself would underflow for n > 1074.
  const middle = n >> 1;
  const terms = new Float64Array(middle + 1).fill(1);
  for (let i = middle; i > 0; i--) terms[i - 1] = (terms[i] * i) / (n - i + 1);
  const half = terms.reduce((sum, term) => sum + term, 0);
  const whole = n % 2 === 0 ? 2 * half - 1 : 2 * half;
  let k = 0;
  for (let tail = terms[0]; tail <= 0.025 * whole; tail += terms[k]) k++;
  if (k === 0) return null;
  const sorted = Float64Array.from(values).sort();
  return [sorted[k - 1], sorted[n - k]];
}

/** The ratio of sums of shares of one kind, such as pixels that agree: 0 <= y_i <= x_i. */
export function shareOfSums(
  y: ArrayLike<number>,
  x: ArrayLike<number>,
): { value: number; ci95: Interval | null } {
  const { value, ci95 } = ratioOfSums(y, x);
  if (!ci95) return { value, ci95 };
  // Shares that are all 0 or all 1 have no spread, and yet few of them prove little.
  if (ci95[0] === ci95[1]) return { value, ci95: wilson(value * y.length, y.length) };
  return { value, ci95: [Math.max(0, ci95[0]), Math.min(1, ci95[1])] };
}

/** In how many groups `jackknife` divides records, at most. */
export const jackknifeGroups = 20;

/**
 * The interval of a statistic over records by the delete-a-group jackknife (Kott 2001): `without` has
 * the statistic without each of g groups of records,
 *
 *   theta -+ z sqrt((g - 1) / g sum_j (theta_j - mean theta_j)^2)
 *
 * Null for fewer than two groups, and where a value is not finite.
 */
export function jackknife(value: number, without: readonly number[]): Interval | null {
  const g = without.length;
  if (g < 2 || !Number.isFinite(value) || !without.every(Number.isFinite)) return null;
  const centre = without.reduce((sum, theta) => sum + theta, 0) / g;
  const squares = without.reduce((sum, theta) => sum + (theta - centre) ** 2, 0);
  const half = z * Math.sqrt(((g - 1) / g) * squares);
  return [value - half, value + half];
}
