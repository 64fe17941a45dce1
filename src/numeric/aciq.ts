/**
 * @file ACIQ: the range of least squared error for values of a known distribution, in closed form.
 *
 * With 2^M levels over [-a, a], values beyond a are clipped and those inside get uniform noise of
 * step 2 a / 2^M (Banner et al. 2018, arXiv 1810.05723, eq. 7 and 10; b and sigma are 1):
 *
 *   Laplace   2 e^-a + a^2 / (3 4^M)                             least where  e^-a = a / (3 4^M)
 *   Gauss     2 int_a^inf (x - a)^2 phi(x) dx + a^2 / (3 4^M)    least where  phi(a) - a Q(a) = a / (6 4^M)
 *
 * with phi the standard normal density and Q its upper tail.
 */
import { erf } from "./erf.ts";
import { exp } from "./exp.ts";
import type { Histogram } from "./sketch.ts";

type Shape = "laplace" | "gauss";

/** The derivative of the squared error, up to a factor: it rises with a. */
const slopes: Readonly<Record<Shape, (a: number, bits: number) => number>> = {
  laplace: (a, bits) => a / (3 * 4 ** bits) - exp(-a),
  gauss: (a, bits) => {
    const density = exp((-a * a) / 2) / Math.sqrt(2 * Math.PI);
    return a / (6 * 4 ** bits) - density + (a * (1 - erf(a / Math.SQRT2))) / 2;
  },
};

/** The bound a of least error for 2^bits levels, in units of b (Laplace) or sigma (Gauss). */
export function clippingBound(shape: Shape, bits: number): number {
  let [low, high] = [0, 64];
  for (let i = 0; i < 64; i++) {
    const middle = (low + high) / 2;
    if (slopes[shape](middle, bits) < 0) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/**
 * The ranges for 2^bits levels if the values counted have a Laplace or a normal distribution, cut to
 * the values' own extremes, which contain 0. Where no value is negative, as after a Relu, the values are taken for the positive half of a
 * distribution around 0, and all levels lie on its side: a is then that of one more bit.
 */
export function aciqRanges(
  histogram: Histogram,
  whole: { readonly min: number; readonly max: number },
  bits: number,
): { readonly min: number; readonly max: number }[] {
  const { counts, width, first, zeros } = histogram;
  const isHalf = whole.min === 0 || whole.max === 0;
  const count = histogram.count - (isHalf ? zeros : 0);
  const center = isHalf ? 0 : histogram.mean;
  let deviation = isHalf ? 0 : zeros * Math.abs(center);
  for (const [i, n] of counts.entries()) {
    deviation += n * Math.abs((first + i + 0.5) * width - center);
  }
  const b = deviation / count;
  const sigma = Math.sqrt((histogram.power * histogram.count) / count - center * center);
  return [
    b * clippingBound("laplace", isHalf ? bits + 1 : bits),
    sigma * clippingBound("gauss", isHalf ? bits + 1 : bits),
  ].map((a) => ({
    min: Math.max(whole.min, Math.min(0, center - a)),
    max: Math.min(whole.max, Math.max(0, center + a)),
  }));
}
