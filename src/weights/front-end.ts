/**
 * @file Front ends: weights that are tables somebody computed, not numbers that training found: the
 * sines of a Fourier or cosine transform, a filterbank (mel), a conversion of colours.
 *
 * What reads a front end often takes logarithms, so that errors which 8 bits do to the largest
 * energies are errors of all small ones. The tables are found by their values:
 *
 * - sinusoids: x[n-1] + x[n+1] = k x[n] with k = 2 cos(omega), which holds of every sine of that
 *   frequency, whatever its phase, and nearly of one in a slow window. Frequencies have to differ.
 * - a filterbank: no negative number, few that are not 0, and these in one hump for each filter.
 * - colours: an output that is the luma of its three inputs, by BT.601, BT.709 or BT.2020.
 *
 * Orthogonality is no criterion: trained weights can be orthogonal too.
 */
import type { Value } from "../ir/graph.ts";
import type { Tensor } from "../ir/tensor.ts";
import { constantValue, type WeightUse } from "../ops/weights.ts";
import { product } from "../util/product.ts";

/** Shorter vectors can look like anything. */
const SHORTEST = 8;
/** Larger tensors are not looked at: a Fourier transform of 2048 points has half as many numbers. */
const LARGEST = 2 ** 23;
/** |x[n-1] + x[n+1] - k x[n]| / (2 |x|), at most. */
const RESIDUAL = 0.04;
/** Share of the vectors that have to pass. */
const MOST = 0.9;
/** Standard deviation of k among them: smooth vectors, as of blurs, all have k near 2. */
const DIVERSE = 0.1;
/** Share of a filterbank's numbers that are not 0, at most. */
const DENSE = 0.25;
/** Vectors that are looked at first; almost all tensors are ruled out by them. */
const FIRST = 24;

const lumas = [
  [0.299, 0.587, 0.114],
  [0.2126, 0.7152, 0.0722],
  [0.2627, 0.678, 0.0593],
] as const;

const known = new WeakMap<Tensor, string | null>();

/**
 * What kind of table the weight is, as the end of a sentence about its layer ("computes ..."); null
 * for one that training found, as far as its values tell. Weights of more than 2^23 numbers are
 * not looked at. A tensor is looked at once.
 */
export function frontEndOf({ value, role }: Pick<WeightUse, "value" | "role">): string | null {
  const weight = tensorOf(value);
  if (!weight || weight.size > LARGEST || !/^float/.test(weight.dtype)) return null;
  const seen = known.get(weight);
  if (seen !== undefined) return seen;
  const { shape } = weight;
  const numbers = weight.numbers();
  const axes = [...shape.keys()].filter((axis) => shape[axis] >= SHORTEST);
  const kind = axes.some((axis) => areSinusoids(numbers, shape, axis))
    ? "sines and cosines"
    : axes.some((axis) => isFilterbank(numbers, shape, axis))
      ? "a filterbank"
      : role.groups === 1 && isColour(numbers, shape, role.inputAxis, role.outputAxis)
        ? "a conversion of colours"
        : null;
  known.set(weight, kind);
  return kind;
}

const tensorOf = (value: Value): Tensor | null =>
  value.tensor ?? (product(sizes(value)) <= LARGEST ? constantValue(value) : null);

const sizes = ({ shape }: Value): number[] =>
  (shape ?? []).map((size) => (typeof size === "number" ? size : 1));

/** The start of each vector along an axis, and the distance between its numbers. */
function vectors(shape: readonly number[], axis: number): { starts: number[]; step: number } {
  const step = product(shape.slice(axis + 1));
  const starts: number[] = [];
  for (let outer = 0; outer < product(shape.slice(0, axis)); outer++)
    for (let inner = 0; inner < step; inner++) starts.push(outer * shape[axis] * step + inner);
  return { starts, step };
}

/** `FIRST` of the items at even distances. */
const sampled = <T>(items: readonly T[]): readonly T[] =>
  items.filter((_, i) => i % Math.max(1, Math.floor(items.length / FIRST)) === 0);

/** Whether nearly all vectors along the axis are sines, of frequencies that differ. */
function areSinusoids(x: ArrayLike<number>, shape: readonly number[], axis: number): boolean {
  const { starts, step } = vectors(shape, axis);
  const pass = (some: readonly number[]): number[] | null => {
    const found = some.map((start) => frequency(x, start, step, shape[axis]));
    const alive = found.filter((k) => k !== undefined);
    const sines = alive.filter((k) => k !== null);
    return sines.length >= 2 && sines.length >= MOST * alive.length ? sines : null;
  };
  const ks = starts.length > 2 * FIRST && !pass(sampled(starts)) ? null : pass(starts);
  if (!ks) return false;
  const mean = ks.reduce((sum, k) => sum + k, 0) / ks.length;
  return ks.reduce((sum, k) => sum + (k - mean) ** 2, 0) / ks.length > DIVERSE ** 2;
}

/** The least-squares k of a vector; null if it is no sine, undefined if all of it is 0. */
function frequency(
  x: ArrayLike<number>,
  start: number,
  step: number,
  length: number,
): number | null | undefined {
  let [xx, xs, ss] = [0, 0, 0];
  for (let n = 1; n < length - 1; n++) {
    const at = start + n * step;
    const sum = x[at - step] + x[at + step];
    xx += x[at] * x[at];
    xs += x[at] * sum;
    ss += sum * sum;
  }
  // Of sin(pi n) as 32-bit floats only the rounding is left.
  if (xx < 1e-12) return undefined;
  const k = xs / xx;
  const rest = Math.max(0, ss - k * xs);
  return Math.abs(k) <= 2.02 && rest <= (2 * RESIDUAL) ** 2 * xx ? k : null;
}

/** Whether each vector along the axis is one hump over zeros, in different places. */
function isFilterbank(x: ArrayLike<number>, shape: readonly number[], axis: number): boolean {
  let filled = 0;
  for (let i = 0; i < x.length; i++) {
    if (x[i] < 0) return false;
    if (x[i] > 0) filled++;
  }
  const { starts, step } = vectors(shape, axis);
  if (filled > DENSE * x.length || starts.length < 2) return false;
  let [humps, wide, all] = [0, 0, 0];
  for (const start of starts) {
    const { runs, width, turns } = humpOf(x, start, step, shape[axis]);
    if (width === 0) continue;
    all++;
    if (runs === 1 && turns <= 1) humps++;
    // Rows of an identity or a permutation are single numbers.
    if (width > 1) wide++;
  }
  return all >= 2 && humps >= MOST * all && wide >= all / 4;
}

/** Of a vector: runs of numbers above 0, how many those are, and falls that a rise follows. */
function humpOf(x: ArrayLike<number>, start: number, step: number, length: number) {
  let [runs, width, turns, last, falls] = [0, 0, 0, 0, false];
  for (let n = 0; n < length; n++) {
    const value = x[start + n * step];
    if (value > 0) width++;
    if (value > 0 && last === 0) runs++;
    if (value < last && value > 0) falls = true;
    if (value > last && falls) turns += 2;
    last = value;
  }
  return { runs, width, turns };
}

/** Whether one of at most 4 outputs is a luma of the 3 inputs, in this order or the other. */
function isColour(
  x: ArrayLike<number>,
  shape: readonly number[],
  inputAxis: number,
  outputAxis: number,
): boolean {
  const outputs = shape[outputAxis];
  if (shape[inputAxis] !== 3 || outputs > 4 || x.length !== 3 * outputs) return false;
  const [inner, outer] = inputAxis < outputAxis ? [outputs, 1] : [1, 3];
  return Array.from({ length: outputs }, (_, o) => [0, 1, 2].map((i) => x[i * inner + o * outer]))
    .flatMap((row) => [row, row.toReversed()])
    .some((row) => {
      const sum = row[0] + row[1] + row[2];
      return lumas.some((luma) => luma.every((y, i) => Math.abs(row[i] / sum - y) < 1e-3));
    });
}
