/**
 * @file Fits the coefficients of decode/predict.ts by least squares.
 *
 * For the taps t and an element v[i], the coefficients c solve the ridge regression
 *
 *   min_c sum_i (v[i] - sum_t c_t v[i - t])^2 + ridge |c|^2
 */
import { log } from "../../numeric/log.ts";
import { passPrediction } from "../decode/predict.ts";
import type { Shape } from "../decode/shape.ts";

/**
 * A prediction: its coefficients in 1/128, [sets, taps], the differences that it leaves, and the
 * bits that it should save for each element.
 */
export interface Prediction {
  readonly byPlace: boolean;
  readonly coefficients: Int8Array;
  readonly differences: Int32Array;
  readonly gain: number;
}

/**
 * The better one of a single set of coefficients and a set for each place in the kernel, by
 *
 *   gain = log2(rms of the values / rms of the differences) - bits of the coefficients per element
 *
 * which is the saving if both were normally distributed.
 */
export function choosePrediction(
  values: Int32Array,
  shape: Shape,
  taps: readonly number[],
): Prediction {
  const energy = (of: Int32Array) => of.reduce((sum, x) => sum + x * x, 1);
  const before = energy(values);
  const sums = momentsOf(values, shape, taps);
  const solved = (byPlace: boolean): Prediction => {
    const coefficients = fitPrediction(byPlace ? sums : [total(sums)], taps.length);
    const differences = passPrediction(values, shape, taps, coefficients, false);
    const gain = log(before / energy(differences)) / (2 * Math.LN2);
    const cost = (6 * coefficients.length) / values.length;
    return { byPlace, coefficients, differences, gain: gain - cost };
  };
  const one = solved(false);
  if (shape.kernel === 1 || values.length <= 200 * shape.kernel) return one;
  const many = solved(true);
  return many.gain > one.gain ? many : one;
}

/** Elements that suffice to fit a dozen coefficients. */
const ENOUGH = 10_000;

/**
 * Sums of products of the neighbours v[i - t] and v[i], one matrix [taps + 1, taps + 1] (upper
 * triangle) for each place in the kernel.
 */
function momentsOf(
  values: Int32Array,
  { kernel }: Shape,
  taps: readonly number[],
): readonly Float64Array[] {
  const width = taps.length + 1;
  const sums = Array.from({ length: kernel }, () => new Float64Array(width * width));
  const row = new Float64Array(width);
  // Long tensors are sampled in runs of 1000 elements, evenly spread.
  const step = Math.max(1, Math.floor(values.length / Math.max(ENOUGH, 2000 * kernel)));
  for (let i = 0; i < values.length; i++) {
    if (step > 1 && Math.floor(i / 1000) % step !== 0) {
      i += 999;
      continue;
    }
    const sum = sums[i % kernel];
    for (let t = 0; t < taps.length; t++) row[t] = i < taps[t] ? 0 : values[i - taps[t]];
    row[width - 1] = values[i];
    for (let a = 0; a < width; a++) {
      const x = row[a];
      if (x === 0) continue;
      for (let b = a; b < width; b++) sum[a * width + b] += x * row[b];
    }
  }
  return sums;
}

function total(sums: readonly Float64Array[]): Float64Array {
  return sums[0].map((_, k) => sums.reduce((sum, each) => sum + each[k], 0));
}

/**
 * Coefficients in 1/128, one set for each matrix of sums. A coefficient that does not fit into
 * a byte is clamped.
 */
function fitPrediction(sums: readonly Float64Array[], taps: number): Int8Array {
  const coefficients = new Int8Array(sums.length * taps);
  sums.forEach((sum, set) => {
    solve(sum.slice(), taps).forEach((x, t) => {
      coefficients[set * taps + t] = Math.max(-127, Math.min(127, Math.round(x * 128)));
    });
  });
  return coefficients;
}

/**
 * Solves A x = b by elimination for the symmetric A | b in the upper triangle of (n + 1) x (n + 1).
 * A small ridge keeps A positive definite.
 */
function solve(sum: Float64Array, n: number): Float64Array {
  const width = n + 1;
  const trace = Array.from({ length: n }, (_, i) => sum[i * width + i]).reduce((a, b) => a + b, 0);
  const ridge = (trace / n) * 1e-3 + 1e-9;
  for (let i = 0; i < n; i++) sum[i * width + i] += ridge;
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++) {
      const factor = sum[i * width + j] / sum[i * width + i];
      for (let k = j; k < width; k++) sum[j * width + k] -= factor * sum[i * width + k];
    }
  }
  const x = new Float64Array(n);
  for (let i = n - 1; i >= 0; i--) {
    let rest = sum[i * width + n];
    for (let k = i + 1; k < n; k++) rest -= sum[i * width + k] * x[k];
    x[i] = rest / sum[i * width + i];
  }
  return x;
}
