/** @file Analytic clipping against the paper's multiples and against a search by brute force. */
import { describe, expect, test } from "vitest";
import { clippingBound } from "../../src/numeric/aciq.ts";
import { calibrate } from "../../src/numeric/calibrate.ts";
import { createHistogram } from "../../src/numeric/sketch.ts";

describe("bounds", () => {
  test.each([
    // Banner et al. 2018, section 3: multiples of b and of sigma for 2, 3 and 4 bits.
    ["laplace", [2.83, 3.89, 5.03]],
    ["gauss", [1.71, 2.15, 2.55]],
  ] as const)("%s: those of the paper", (shape, multiples) => {
    for (const [i, multiple] of multiples.entries()) {
      // Two digits, some of them rounded and some cut.
      expect(Math.abs(clippingBound(shape, i + 2) - multiple)).toBeLessThan(0.01);
    }
  });
});

/** n quantiles of a distribution, so that samples have no noise. */
const quantiles = (n: number, inverse: (u: number) => number): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => inverse((i + 0.5) / n));
const laplace = (u: number): number => (u < 0.5 ? Math.log(2 * u) : -Math.log(2 - 2 * u));
/** The normal distribution's, by bisection. */
function gauss(u: number): number {
  let [low, high] = [-9, 9];
  const below = (x: number): number => {
    // Simpson's rule on the density.
    const n = 60;
    const h = x / n;
    const f = (t: number): number => Math.exp((-t * t) / 2) / Math.sqrt(2 * Math.PI);
    let sum = f(0) + f(x);
    for (let i = 1; i < n; i++) sum += (i % 2 ? 4 : 2) * f(i * h);
    return 0.5 + (sum * h) / 3;
  };
  for (let i = 0; i < 40; i++) {
    const middle = (low + high) / 2;
    if (below(middle) < u) low = middle;
    else high = middle;
  }
  return low;
}

/** The squared error of rounding to 2^bits midpoints over a range. */
function errorOf(values: Float32Array, min: number, max: number, bits: number): number {
  const step = (max - min) / 2 ** bits;
  return values.reduce((sum, x) => {
    const k = Math.max(0, Math.min(2 ** bits - 1, Math.floor((x - min) / step)));
    return sum + (x - (min + (k + 0.5) * step)) ** 2;
  }, 0);
}

describe.each([
  ["laplace", quantiles(4001, laplace)],
  ["gauss", quantiles(4001, gauss)],
] as const)("%s samples", (_, samples) => {
  test.each([4, 5])(
    "the error with %i bits is within 2 percent of the least of all bounds",
    (bits) => {
      for (const [values, isHalf] of [
        [samples, false],
        [samples.map((x) => Math.max(0, x)), true],
      ] as const) {
        const histogram = createHistogram();
        histogram.add(values);
        const whole = { min: isHalf ? 0 : values[0], max: values[values.length - 1] };
        const { min, max } = calibrate(histogram, { kind: "aciq" }, bits);
        expect(min).toBeCloseTo(isHalf ? 0 : -max, 2);
        // Exact zeros, half of what a Relu gives, are a level of every range.
        const positive = values.filter((x) => !isHalf || x > 0);
        let least = Number.POSITIVE_INFINITY;
        for (let a = 0.5; a <= whole.max; a += 0.05) {
          least = Math.min(least, errorOf(positive, isHalf ? 0 : -a, a, bits));
        }
        expect(errorOf(positive, min, max, bits)).toBeLessThan(1.02 * least);
      }
    },
  );
});
