/** @file A convolution from linear features of its patches: the least squares weights, and their error. */
import type { Insert } from "../layers/chain.ts";
import type { Layer } from "../layers/matrix.ts";
import { solveSpd } from "../numeric/cholesky.ts";
import { multiplyTransposed } from "../numeric/matrix.ts";
import type { Evidence } from "./decomposition.ts";

/** Keeps features that depend on one another from dividing by zero. */
const DAMPING = 1e-9;

/** A function that gives the rows A S of A [rows, columns]; S is 1 where no data are known. */
export function seenBy({ whitener }: Evidence): (rows: Float64Array) => Float64Array {
  return (rows) => {
    if (!whitener) return rows;
    const { factor, columns } = whitener;
    const out = new Float64Array(rows.length);
    for (let from = 0; from < rows.length; from += columns) {
      const own = out.subarray(from, from + columns);
      for (let i = 0; i < columns; i++) {
        const a = rows[from + i];
        // S is lower triangular.
        if (a !== 0) for (let j = 0; j <= i; j++) own[j] += a * factor[i * columns + j];
      }
    }
    return out;
  };
}

/**
 * X [outputs, features] of min over X: |(W - X T) S|^2, W [outputs, columns] and T [features, columns],
 * from W S and T S, with the squared error of each output.
 */
export function fitFeatures(
  outputs: Float64Array,
  features: Float64Array,
  columns: number,
): { readonly weights: Float64Array; readonly errors: Float64Array } {
  const [n, f] = [outputs.length / columns, features.length / columns];
  const gram = multiplyTransposed(features, features, f, f, columns);
  const cross = multiplyTransposed(features, outputs, f, n, columns);
  let trace = 0;
  for (let i = 0; i < f; i++) trace += gram[i * f + i];
  for (let i = 0; i < f; i++) gram[i * f + i] += (DAMPING * trace) / f || DAMPING;
  const solved = solveSpd(gram, f, cross, n);
  const weights = new Float64Array(n * f);
  const errors = new Float64Array(n);
  for (let o = 0; o < n; o++) {
    for (let j = 0; j < columns; j++) errors[o] += outputs[o * columns + j] ** 2;
    for (let i = 0; i < f; i++) {
      weights[o * f + i] = solved[i * n + o];
      errors[o] -= solved[i * n + o] * cross[i * n + o];
    }
    errors[o] = Math.max(0, errors[o]);
  }
  return { weights, errors };
}

/** sum_o g_o e_o; g is 1 where no gains are known. */
export const weighted = (errors: ArrayLike<number>, { gains }: Evidence): number =>
  Array.from(errors).reduce((sum, error, o) => sum + error * (gains?.[o] ?? 1), 0);

/** The middle position of a kernel of odd sizes; a reason for others. */
export function middleOf({ kernel }: Layer): number | string {
  if (kernel.some((size) => size % 2 === 0)) return "has a kernel without a middle";
  return kernel.reduce((at, size) => at * size + (size - 1) / 2, 0);
}

/** Puts channels that come in this order into their own places. */
export const reordered =
  (order: readonly number[]): Insert =>
  (g, x) => {
    const places = new Array<number>(order.length);
    for (const [at, output] of order.entries()) places[output] = at;
    return g.Gather(x, g.ints(places, "order"), { axis: 1 });
  };
