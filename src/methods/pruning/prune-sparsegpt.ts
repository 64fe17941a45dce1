/** @file SparseGPT: optimal brain surgeon by columns, one inverse Hessian for all rows. */
import { z } from "zod";
import { compensate, inverseFactor } from "../../numeric/inverse.ts";
import { type HessianLayer, hessianOptions, pruneByHessian } from "../../sparsity/by-hessian.ts";
import { lowest, parsePattern, sharedOptions } from "../../sparsity/by-score.ts";
import { defineMethod } from "../method.ts";

const { sparsity, pattern } = sharedOptions("layer");

export const pruneSparsegpt = defineMethod({
  title: "SparseGPT",
  cite: "Frantar, Alistarh 2023, arXiv 2301.00774, algorithm 1",
  summary: "Prunes columns from first to last; after each, the later columns compensate for it.",
  needs: ["calibration"],
  options: z.object({
    sparsity,
    pattern,
    block: z
      .int()
      .min(1)
      .max(4096)
      .default(128)
      .meta({ description: "Columns whose weights are chosen together." }),
    ...hessianOptions,
  }),
  survey: [{ sparsity: 0.5 }],
  neutral: { sparsity: 0 },
  apply: (model, options, context) =>
    pruneByHessian(model, options, context, (layer) => sweep(layer, options)),
});

interface Choice {
  readonly sparsity: number;
  readonly pattern: string;
  readonly block: number;
}

/**
 * Prunes the weight in place (algorithm 1). With H^-1 = U^T U, U upper triangular, row j
 * of U is the row for column j of the inverse over columns j and later, divided by the
 * root of its diagonal:
 *   score of w_j: w_j^2 / U_jj^2;   when it is removed, w_k -= (w_j / U_jj) U_jk for k > j
 */
export function sweep({ weight, rows, columns, hessian }: HessianLayer, choice: Choice): void {
  const upper = inverseFactor(hessian, columns);
  const nm = parsePattern(choice.pattern);
  const width = nm ? nm[1] : choice.block;
  const wasZero = Uint8Array.from(weight, (w) => (w === 0 ? 1 : 0));
  for (let start = 0; start < columns; start += width) {
    const size = Math.min(width, columns - start);
    const scores = new Float32Array(rows * size);
    for (let i = 0; i < scores.length; i++) {
      const j = start + (i % size);
      const at = Math.floor(i / size) * columns + j;
      scores[i] = wasZero[at] ? -Infinity : (weight[at] / upper[j * columns + j]) ** 2;
    }
    const falls = nm ? fallsOf(scores, rows, size, nm[0]) : null;
    const cheap = lowest([scores], choice.sparsity);
    const removed = falls ?? Uint8Array.from(scores, (score) => (cheap(score) ? 1 : 0));
    for (let row = 0; row < rows; row++) {
      const own = weight.subarray(row * columns, (row + 1) * columns);
      for (let j = start; j < start + size; j++) {
        if (!removed[row * size + j - start] && !wasZero[row * columns + j]) continue;
        const error = own[j];
        own[j] = 0;
        compensate(own, j, error, upper);
      }
    }
  }
}

/** In each row of one block, marks all but the n highest scores. */
function fallsOf(scores: Float32Array, rows: number, size: number, n: number): Uint8Array {
  const removed = new Uint8Array(scores.length);
  for (let row = 0; row < rows; row++) {
    const places = Array.from({ length: size }, (_, j) => row * size + j);
    places.sort((a, b) => scores[b] - scores[a] || a - b);
    for (const place of places.slice(n)) removed[place] = 1;
  }
  return removed;
}
