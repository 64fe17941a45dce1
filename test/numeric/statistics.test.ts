/**
 * @file Quantiles and intervals against scipy 1.17.1 and numpy 2.4.6:
 *   st.binomtest(k, n).proportion_ci(method="wilson"); st.quantile_test(x, p=0.5).confidence_interval(0.95);
 *   np.median(x), np.quantile(x, 0.9); st.norm.interval(0.95, m.mean(), st.sem(m)).
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom } from "../../src/numeric/random.ts";
import {
  histogramMode,
  median,
  medianInterval,
  pairedInterval,
  quantile,
  ratioOfSums,
  wilson,
} from "../../src/numeric/statistics.ts";

const sample = (n: number) => Array.from({ length: n }, (_, i) => ((i * 7919) % 101) / 10);

test.each([
  [901, 1000, 0.8809263810632502, 0.9180045586313346],
  [8047, 10000, 0.7968136925497121, 0.8123522988431976],
  [0, 10, 0, 0.27753279986288926],
  [10, 10, 0.7224672001371109, 1],
  [1, 3, 0.06149194472039626, 0.7923403991979523],
])("wilson(%d, %d)", (hits, n, low, high) => {
  const interval = wilson(hits, n);
  expect(interval[0]).toBeCloseTo(low, 12);
  expect(interval[1]).toBeCloseTo(high, 12);
});

test("the mode of a histogram is the centre of its fullest bin (Freedman, Diaconis 1981)", () => {
  // Quartiles 2 and 4 of 8 values: bins of width 2 * 2 / 8^(1/3) = 2 from 1 on.
  const values = [1, 2, 2, 3, 3.5, 4, 4, 11];
  const width = (2 * (quantile(values, 0.75) - quantile(values, 0.25))) / 2;
  expect(width).toBe(2);
  // [1, 3): 3 values, [3, 5): 4 values, [11, 13): 1 value.
  expect(histogramMode(values)).toBe(4);
  expect(histogramMode([...values].reverse())).toBe(4);
  // More than half are equal.
  expect(histogramMode([5, 5, 5, 5, 5, 1, 9])).toBe(5);
  expect(histogramMode([3])).toBe(3);
  expect(histogramMode([])).toBeNaN();
});

test.each([
  [6, 0, 8.2, 3.15, 7.25],
  [10, 0.3, 8.2, 4.25, 8.23],
  [17, 2.2, 6.6, 4.4, 8.32],
  [40, 3.4, 6.6, 4.85, 8.83],
])("median, 0.9 quantile and sign-test interval of %d values", (n, low, high, middle, p90) => {
  expect(medianInterval(sample(n))).toEqual([low, high]);
  expect(median(sample(n))).toBeCloseTo(middle, 12);
  expect(quantile(sample(n), 0.9)).toBeCloseTo(p90, 12);
});

test.each([
  // Type 7: the quantile q of n sorted values is at position (n - 1) q, counted from 0.
  [[7], 7, 7, 7],
  [[10, 20], 15, 19, 19.5],
  [[30, 10, 20], 20, 28, 29],
  [Array.from({ length: 11 }, (_, i) => 10 * i), 50, 90, 95],
  [Array.from({ length: 20 }, (_, i) => 20 - i), 10.5, 18.1, 19.05],
  [[1, 1, 1, Infinity], 1, Infinity, Infinity],
])("p50, p90 and p95 of %j", (values, p50, p90, p95) => {
  expect(median(values)).toBeCloseTo(p50, 12);
  expect(quantile(values, 0.9)).toBeCloseTo(p90, 12);
  expect(quantile(values, 0.95)).toBeCloseTo(p95, 12);
  expect(quantile(values, 0)).toBe(Math.min(...values));
  expect(quantile(values, 1)).toBe(Math.max(...values));
});

test("no values have no quantile", () => {
  expect(median([])).toBeNaN();
  expect(quantile([], 0.9)).toBeNaN();
});

test("the sign-test interval takes the order statistics of binomial tails, for every n", () => {
  // The largest k with sum_{i<k} C(n, i) <= 0.025 * 2^n, in whole numbers.
  for (let n = 1; n <= 300; n++) {
    let [term, tail, k] = [1n, 1n, 0];
    while (1000n * tail <= 25n * 2n ** BigInt(n)) {
      k++;
      term = (term * BigInt(n - k + 1)) / BigInt(k);
      tail += term;
    }
    const values = Float64Array.from({ length: n }, (_, i) => i);
    expect(medianInterval(values)).toEqual(k === 0 ? null : [k - 1, n - k]);
  }
});

test("five values are too few for a 95 % interval of the median", () => {
  expect(medianInterval(sample(5))).toBeNull();
  expect(medianInterval([])).toBeNull();
});

test("the sign-test interval covers the true median at least 95 % of the time, also for skewed data", () => {
  const random = createRandom(7);
  let covered = 0;
  const trials = 4000;
  for (let trial = 0; trial < trials; trial++) {
    const values = Array.from({ length: 25 }, () => Math.exp(random.normal())); // median 1
    const [low, high] = medianInterval(values)!;
    if (low <= 1 && 1 <= high) covered++;
  }
  // Exact coverage at n = 25 is 0.9567; three standard errors are 0.01.
  expect(covered / trials).toBeGreaterThan(0.945);
  expect(covered / trials).toBeLessThan(0.97);
});

test("2000 values do not underflow", () => {
  const [low, high] = medianInterval(Float64Array.from({ length: 2000 }, (_, i) => i))!;
  // st.binom.ppf(0.025, 2000, 0.5) = 956
  expect([low, high]).toEqual([955, 1044]);
});

describe("pairedInterval", () => {
  test("by hand: 1 lost, 7 gained of 21", () => {
    // p = 2/23, q = 8/23, p - q = -6/23; sqrt((10/23 - (6/23)^2) / 23) = 0.1262726
    const [low, high] = pairedInterval(1, 7, 21);
    expect(low).toBeCloseTo(-0.2608696 - 1.959964 * 0.1262726, 6);
    expect(high).toBeCloseTo(-0.2608696 + 1.959964 * 0.1262726, 6);
  });

  test("no difference among n records still leaves room for a small one", () => {
    const [low, high] = pairedInterval(0, 0, 10_000);
    expect(low).toBe(-high);
    // The rule of three: events of a rate above 3 / n would have shown with 95 % probability.
    expect(high).toBeGreaterThan(1 / 10_000);
    expect(high).toBeLessThan(3.7 / 10_000);
  });

  test("lost and gained swap the ends", () => {
    const [low, high] = pairedInterval(12, 5, 400);
    expect(pairedInterval(5, 12, 400)).toEqual([-high, -low]);
  });

  test.each([
    [30, 0.05, 0.1],
    [120, 0.05, 0.05],
    [60, 0.3, 0.1],
  ])("covers the true difference as often as it says: n = %d, rates %f and %f", (n, p, q) => {
    // Exact: the sum of the multinomial probabilities of all outcomes whose interval holds p - q.
    const logFactorial = [0];
    for (let i = 1; i <= n; i++) logFactorial.push(logFactorial[i - 1] + Math.log(i));
    let covered = 0;
    for (let lost = 0; lost <= n; lost++) {
      for (let gained = 0; lost + gained <= n; gained++) {
        const [low, high] = pairedInterval(lost, gained, n);
        if (low > p - q || high < p - q) continue;
        const rest = n - lost - gained;
        const ways =
          logFactorial[n] - logFactorial[lost] - logFactorial[gained] - logFactorial[rest];
        covered += Math.exp(
          ways + lost * Math.log(p) + gained * Math.log(q) + rest * Math.log(1 - p - q),
        );
      }
    }
    expect(covered).toBeGreaterThan(0.94);
    expect(covered).toBeLessThan(0.98);
  });
});

describe("ratioOfSums", () => {
  test("of equal weights is the mean with its standard error", () => {
    const y = Array.from({ length: 50 }, (_, i) => sample(50)[i] + 1);
    const { value, ci95 } = ratioOfSums(y, new Float64Array(50).fill(1));
    expect(value).toBeCloseTo(5.904, 12);
    expect(ci95![0]).toBeCloseTo(5.076370824622972, 12);
    expect(ci95![1]).toBeCloseTo(6.731629175377026, 12);
  });

  test("of sequences of unequal length: numpy's linearized interval, near 20,000 bootstrap resamples", () => {
    const y = Array.from({ length: 50 }, (_, i) => sample(50)[i] + 1);
    const x = Array.from({ length: 50 }, (_, i) => 3 + ((i * 31) % 17));
    const { value, ci95 } = ratioOfSums(y, x);
    expect(value).toBeCloseTo(0.5318918918918918, 12);
    expect(ci95![0]).toBeCloseTo(0.42937637773059445, 12);
    expect(ci95![1]).toBeCloseTo(0.6344074060531891, 12);
    expect(Math.abs(ci95![0] - 0.4377986)).toBeLessThan(0.01);
    expect(Math.abs(ci95![1] - 0.64396139)).toBeLessThan(0.01);
  });

  test("gives no interval to one cluster or to infinities", () => {
    expect(ratioOfSums([3], [2])).toEqual({ value: 1.5, ci95: null });
    expect(ratioOfSums([Infinity, 1], [1, 1])).toEqual({ value: Infinity, ci95: null });
  });
});

test("quantiles lie between neighbours and rise with q", () => {
  const values = fc.array(fc.integer(), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(values, fc.double({ min: 0, max: 1, noNaN: true }), (x, q) => {
      const value = quantile(x, q);
      expect(value).toBeGreaterThanOrEqual(Math.min(...x));
      expect(value).toBeLessThanOrEqual(Math.max(...x));
      expect(quantile(x, 1)).toBeGreaterThanOrEqual(value);
    }),
  );
});
