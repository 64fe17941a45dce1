/**
 * @file Levels for values max(0, x), x standard normal: 0 and a few positive ones of least squared
 * error. By symmetry they are the non-negative half of the optimal levels for x itself in an odd
 * number (Max 1960, "Quantizing for minimum distortion", tables I and II).
 */
import { exp } from "./exp.ts";
import { optimalCentroids } from "./kmeans-optimal.ts";

/**
 * The half-normal density on a fine grid. Above 5 only 6e-7 of it are left, too little for the sums of
 * `optimalCentroids`.
 */
const POINTS = 2 ** 11;
const x = Float32Array.from({ length: POINTS }, (_, i) => (5 * (i + 0.5)) / POINTS);

const density = (): Float32Array => x.map((at) => exp((-at * at) / 2));

/** 0 and `count` positive levels at any distances: Lloyd's fixed point of least error. */
export function halfNormalLevels(count: number): Float64Array {
  return optimalCentroids(x, density(), count + 1, true);
}

/**
 * The step s of the levels 0, s, ... `count` s. With every x at its nearest level k s, the best step
 * is sum(p x k) / sum(p k^2): Lloyd's iteration for one number.
 */
export function halfNormalStep(count: number): number {
  const p = density();
  let step = 3 / (count + 1);
  for (let round = 0; round < 1000; round++) {
    let [product, square] = [0, 0];
    for (let i = 0; i < POINTS; i++) {
      const level = Math.min(count, Math.round(x[i] / step));
      product += p[i] * x[i] * level;
      square += p[i] * level * level;
    }
    const next = product / square;
    if (Math.abs(next - step) < 1e-9) return next;
    step = next;
  }
  return step;
}
