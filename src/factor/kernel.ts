/** @file A convolution's kernel as a tensor, weighted by what data say of its inputs and outputs. */
import type { Layer } from "../layers/matrix.ts";
import { cholesky, divideByLower } from "../numeric/cholesky.ts";
import { multiplyTransposed, transpose } from "../numeric/matrix.ts";
import type { Sizes } from "../numeric/tucker.ts";
import { product } from "../util/product.ts";
import type { Evidence } from "./decomposition.ts";

/**
 * K [outputs, heads, tails]: heads are the input channels with the positions along the axes that the
 * first factor spans, tails the positions along the others.
 */
export interface Kernel {
  /** diag(gains)^1/2 K with S on the heads (both 1 where they are not known), row-major. */
  readonly values: Float64Array;
  readonly sizes: Sizes;
  /** sum of squares of `values`. */
  readonly energy: number;
  /** A S^-1 of A [rows, heads], the first factor. */
  unwhiten(rows: Float64Array): Float64Array;
  /** diag(gains)^-1/2 B of B [outputs, ...], the last factor. */
  unscale(rows: Float64Array): Float64Array;
}

/**
 * The kernel with the axes `head` in front. Whitening by all of E[x x^T] leaves no tensor, so inputs
 * at different tail positions count as uncorrelated and alike:
 *   S S^T = mean over tails t of E[x_t x_t^T],  x_t [heads]
 * which makes each squared error of `values` about one of the layer's outputs.
 */
export function kernelOf(
  layer: Layer,
  { whitener, gains }: Evidence,
  head: readonly number[],
): Kernel {
  const { matrix, outputs, inputs, kernel } = layer;
  const positions = product(kernel);
  const heads = inputs * product(head.map((axis) => kernel[axis]));
  const tails = (inputs * positions) / heads;
  const order = columnsOf(layer, head);
  const roots = gains?.map(Math.sqrt) ?? null;
  // [outputs x tails, heads], so that S stands behind every row.
  const rows = new Float64Array(matrix.length);
  for (let o = 0; o < outputs; o++) {
    for (let t = 0; t < tails; t++) {
      for (let h = 0; h < heads; h++) {
        const weight = matrix[o * order.length + order[h * tails + t]];
        rows[(o * tails + t) * heads + h] = weight * (roots?.[o] ?? 1);
      }
    }
  }
  const factor = whitener ? cholesky(meanGram(whitener.factor, order, heads, tails), heads) : null;
  const seen = factor
    ? multiplyTransposed(rows, transpose(factor, heads, heads), outputs * tails, heads, heads)
    : rows;
  const values = new Float64Array(seen.length);
  const plane = heads * tails;
  for (let o = 0; o < outputs; o++) {
    const own = seen.subarray(o * plane, (o + 1) * plane);
    transpose(own, tails, heads, values.subarray(o * plane, (o + 1) * plane));
  }
  return {
    values,
    sizes: [outputs, heads, tails],
    energy: values.reduce((sum, x) => sum + x * x, 0),
    unwhiten: (rows) => (factor ? divideByLower(rows, factor, heads) : rows),
    unscale(rows) {
      const width = rows.length / outputs;
      return roots ? rows.map((x, at) => x / roots[Math.floor(at / width)]) : rows;
    },
  };
}

/** The column of the layer's matrix at every head and tail, tails fastest. */
export function columnsOf({ inputs, kernel }: Layer, head: readonly number[]): Int32Array {
  const positions = product(kernel);
  const tail = [...kernel.keys()].filter((axis) => !head.includes(axis));
  const axes = [...head, ...tail];
  const strides = kernel.map((_, axis) => product(kernel.slice(axis + 1)));
  const order = new Int32Array(inputs * positions);
  for (let c = 0, to = 0; c < inputs; c++) {
    for (let at = 0; at < positions; at++, to++) {
      let [rest, column] = [at, c * positions];
      for (const axis of axes.toReversed()) {
        column += (rest % kernel[axis]) * strides[axis];
        rest = Math.floor(rest / kernel[axis]);
      }
      order[to] = column;
    }
  }
  return order;
}

/** mean_t S_t S_t^T [heads, heads] of the rows of S [columns, columns] that belong to tail t. */
function meanGram(factor: Float64Array, order: Int32Array, heads: number, tails: number) {
  const columns = heads * tails;
  const sum = new Float64Array(heads * heads);
  const rows = new Float64Array(heads * columns);
  for (let t = 0; t < tails; t++) {
    for (let h = 0; h < heads; h++) {
      const from = order[h * tails + t] * columns;
      rows.set(factor.subarray(from, from + columns), h * columns);
    }
    const gram = multiplyTransposed(rows, rows, heads, heads, columns);
    for (let i = 0; i < sum.length; i++) sum[i] += gram[i] / tails;
  }
  return sum;
}

/** Why a layer has no such kernel: what factors it instead; null for a kernel of enough axes. */
export function whyNoKernel({ kind, kernel }: Layer, axes: number): string | null {
  if (kind === "linear") return "is a linear layer, a plain matrix: truncated SVD factors it";
  const long = kernel.filter((size) => size > 1).length;
  if (long >= axes) return null;
  const named = long === 0 ? "a single position" : "one axis";
  return `has a kernel of ${named}: truncated SVD factors it`;
}
