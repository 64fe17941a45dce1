/** @file Gains: what an error of each output of a layer costs at the outputs of the network. */
import type { Rows } from "../layers/rows.ts";

/** Gains from few records have holes, so every row gets at least this share of their mean. */
const FLOOR = 0.02;

/**
 * g_o of every row, group by group, so that sum_o g_o dw_o^T H dw_o is the error at the outputs that
 * an error dW of the weights causes, with H = E[x x^T] (`grams`). From the diagonal of the curvature
 * (evidence/curvature.ts), h_oj = g_o H_jj where gradients and inputs are independent (Martens,
 * Grosse 2015, arXiv 1503.05671, section 3):
 *   g_o = sum_j h_oj / tr H
 */
export function gainsOf(
  { groups: count, rows, columns, at }: Rows,
  grams: readonly Float64Array[],
  curvature: Float64Array,
): Float64Array {
  const gains = new Float64Array(count * rows);
  for (const row of gains.keys()) {
    const group = Math.floor(row / rows);
    let [sum, trace] = [0, 0];
    for (let j = 0; j < columns; j++) {
      sum += curvature[at(group, row % rows, j)];
      trace += grams[group][j * columns + j];
    }
    gains[row] = trace > 0 ? sum / trace : 0;
  }
  const mean = gains.reduce((a, b) => a + b, 0) / gains.length || 1;
  return gains.map((gain) => gain + FLOOR * mean);
}
