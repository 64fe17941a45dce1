/** @file Dictionary: most rows of a weight are predicted from the few that are stored. */
import { z } from "zod";
import { whiten } from "../../evidence/whitener.ts";
import type { Evidence, Point, Stored } from "../../factor/decomposition.ts";
import { factorLayers } from "../../factor/layers.ts";
import { factorNeeds, factorOptions } from "../../factor/options.ts";
import { ranksUpTo } from "../../factor/spectrum.ts";
import { costOf } from "../../layers/cost.ts";
import type { Layer } from "../../layers/matrix.ts";
import { divideByLower } from "../../numeric/cholesky.ts";
import { dot } from "../../numeric/matrix.ts";
import { dictionary } from "../../weights/forms/dictionary.ts";
import { composed, leaf, wholeLeaf } from "../../weights/weight.ts";
import { defineMethod } from "../method.ts";

/** Rows that an index of the form can count. */
const MOST = 2 ** 16;

/**
 * The rows W_i of a weight as it is stored (outputs of a convolution, inputs of x W) are predicted
 * from r of them, alpha, by least squares: W ~ M W_alpha with M_alpha = 1, so that r (m + n - r)
 * numbers are stored for m rows of n, fewer than m n for every r. The rows are chosen one by one,
 * each time the one that those before predict worst. With records errors are those of outputs:
 * rows that are outputs are whitened, rows that are inputs count by E[x_j^2].
 *
 * Denil et al. predict by a kernel, which stores nothing for M but is smooth only over pixels; the
 * dictionary of section 3.2 that is learned from the weights themselves is this one.
 */
export const factorDictionary = defineMethod({
  title: "dictionary of rows",
  equation: "W = M W_alpha, rows alpha stored, M by least squares",
  cite: "Denil et al. 2013, arXiv 1306.0543",
  summary: "A few rows of each weight and how the others are mixed from them, rebuilt at load.",
  needs: factorNeeds,
  options: z.object(factorOptions),
  survey: [],
  neutral: { energy: 1 },
  apply: (model, options, context) => factorLayers(model, options, context, decompose),
});

function decompose(
  layer: Layer,
  evidence: Evidence,
  { multiple }: { readonly multiple: number },
): Stored | string {
  const { weight } = layer;
  const [rows] = weight.shape;
  const n = weight.values.length / rows;
  if (rows > MOST) return `has ${rows} rows; ${MOST} are the most`;
  const { seen, scale } = weighted(layer, evidence, rows, n);
  const { order, factor, errors } = pivoted(seen, rows, n);
  if (order.length === 0) return "has only zeros, no row to predict the others from";
  const { macs } = costOf(layer);
  const points = ranksUpTo(order.length, multiple).map((rank): Point => {
    // An index takes up to two bytes, half a number.
    const parameters = Math.ceil(rank * (n + rows - rank) + rows / 2);
    return { ranks: [rank], error: errors[rank], parameters, macs };
  });
  return {
    points,
    energy: errors[0],
    weightAt({ ranks: [rank] }) {
      const places = new Int32Array(rows).fill(-1);
      for (let k = 0; k < rank; k++) places[order[k]] = k;
      const kept = new Float32Array(rank * n);
      for (let k = 0; k < rank; k++) {
        kept.set(weight.values.subarray(order[k] * n, (order[k] + 1) * n), k * n);
      }
      const rest = Array.from(places.keys()).filter((row) => places[row] < 0);
      for (const [k, row] of rest.entries()) places[row] = rank + k;
      const width = order.length;
      const lower = new Float64Array(rank * rank);
      for (let k = 0; k < rank; k++) {
        for (let j = 0; j <= k; j++) lower[k * rank + j] = factor[order[k] * width + j];
      }
      const along = new Float64Array(rest.length * rank);
      for (const [i, row] of rest.entries()) {
        for (let j = 0; j < rank; j++) along[i * rank + j] = factor[row * width + j];
      }
      const mix = divideByLower(along, lower, rank);
      const plain = Float32Array.from(
        mix,
        (x, i) => (x * scale[order[i % rank]]) / scale[rest[Math.floor(i / rank)]],
      );
      return composed(dictionary, weight.shape, {
        kept: leaf(kept, [rank, n]),
        mix: leaf(plain, [rest.length, rank]),
        order: wholeLeaf(Uint16Array.from(places), [rows], false),
      });
    },
  };
}

/** The rows whose errors are to be small: scale[i] W_i, whitened where rows are outputs. */
function weighted(layer: Layer, { whitener, gains }: Evidence, rows: number, n: number) {
  const { matrix, weight, role } = layer;
  const areOutputs = role.outputAxis === 0;
  const seen = Float64Array.from(areOutputs && whitener ? whiten(matrix, whitener) : weight.values);
  const roots = gains?.map(Math.sqrt);
  const scale = Float64Array.from({ length: rows }, (_, i) => {
    if (areOutputs) return roots?.[i] ?? 1;
    if (!whitener) return 1;
    const { factor, columns } = whitener;
    return Math.sqrt(dot(factor, i * columns, factor, i * columns, columns));
  });
  for (let i = 0; i < seen.length; i++) {
    seen[i] *= scale[Math.floor(i / n)] * (areOutputs ? 1 : (roots?.[i % n] ?? 1));
  }
  return { seen, scale };
}

/**
 * Gram-Schmidt with the largest rest first: R = C Q with orthonormal rows Q. `factor` is C [rows,
 * ranks], lower triangular in the order of the pivots, and errors[r] the squares that r of them leave.
 */
function pivoted(matrix: Float64Array, rows: number, n: number) {
  const rest = matrix.slice();
  const width = Math.min(rows, n);
  const factor = new Float64Array(rows * width);
  const order: number[] = [];
  const sizes = Float64Array.from({ length: rows }, (_, i) => dot(rest, i * n, rest, i * n, n));
  const errors = [sizes.reduce((a, b) => a + b, 0)];
  for (let k = 0; k < width; k++) {
    let pivot = 0;
    for (let i = 1; i < rows; i++) if (sizes[i] > sizes[pivot]) pivot = i;
    const length = Math.sqrt(sizes[pivot]);
    // What rounding leaves of rows that are predicted already is no row of its own.
    if (order.includes(pivot) || !(length ** 2 > 1e-14 * errors[0])) break;
    const q = rest.slice(pivot * n, (pivot + 1) * n).map((x) => x / length);
    order.push(pivot);
    for (let i = 0; i < rows; i++) {
      const along = dot(rest, i * n, q, 0, n);
      factor[i * width + k] = order.indexOf(i) >= 0 && i !== pivot ? 0 : along;
      for (let j = 0; j < n; j++) rest[i * n + j] -= along * q[j];
      sizes[i] = i === pivot || sizes[i] === 0 ? 0 : dot(rest, i * n, rest, i * n, n);
    }
    for (const i of order) sizes[i] = 0;
    errors.push(sizes.reduce((a, b) => a + b, 0));
  }
  return { order, factor: packed(factor, rows, width, order.length), errors };
}

/** The first `kept` columns of each row. */
function packed(matrix: Float64Array, rows: number, columns: number, kept: number): Float64Array {
  const all = new Float64Array(rows * kept);
  for (let i = 0; i < rows; i++) {
    all.set(matrix.subarray(i * columns, i * columns + kept), i * kept);
  }
  return all;
}
