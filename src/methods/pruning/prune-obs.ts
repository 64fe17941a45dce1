/** @file Optimal brain surgeon by layers: weights go one by one, the others are updated. */
import { z } from "zod";
import { eliminate, type Quota } from "../../numeric/eliminate.ts";
import { inverse } from "../../numeric/inverse.ts";
import { type HessianLayer, hessianOptions, pruneByHessian } from "../../sparsity/by-hessian.ts";
import { lowest, parsePattern, sharedOptions } from "../../sparsity/by-score.ts";
import { defineMethod } from "../method.ts";

/**
 * Per row w of a layer's weight with the Hessian H = E[x x^T], again and again the weight p of the
 * least w_p^2 / (2 [H^-1]_pp) is removed, and w -= w_p [H^-1]_:p / [H^-1]_pp
 * (numeric/eliminate.ts).
 */
export const pruneObs = defineMethod({
  title: "optimal brain surgeon",
  cite: "Hassibi, Stork 1993; Frantar, Alistarh 2022, arXiv 2208.11580",
  summary: "Removes weights one by one; the other weights of the same output compensate for each.",
  needs: ["calibration"],
  options: z.object({
    ...sharedOptions("layer", "row"),
    block: z
      .int()
      .min(0)
      .max(4096)
      .default(64)
      .meta({
        description:
          "Inputs per block of the Hessian, outside which weights do not compensate for each other; 0: one block, exact, but slower by the square.",
        search: [64, 128],
      }),
    ...hessianOptions,
  }),
  survey: [],
  neutral: { sparsity: 0 },
  apply: (model, options, context) =>
    pruneByHessian(model, options, context, (layer) => prune(layer, options)),
});

interface Options {
  readonly sparsity: number;
  readonly scope: "layer" | "row";
  readonly pattern: string;
  readonly block: number;
}

/** Some columns of one row, and H^-1 over them, which all rows share. */
interface Piece {
  readonly weight: Float64Array;
  readonly inverse: Float64Array;
}

/** Prunes one layer. H is cut into diagonal blocks of `width` columns, each inverted on its own. */
function prune({ weight, rows, columns, hessian }: HessianLayer, options: Options): void {
  const pattern = parsePattern(options.pattern);
  const width = widthOf(columns, options.block, pattern?.[1] ?? 1);
  const pieces: Piece[] = [];
  for (let start = 0; start < columns; start += width) {
    const size = Math.min(width, columns - start);
    const part = new Float64Array(size * size);
    for (let i = 0; i < size; i++) {
      const from = (start + i) * columns + start;
      part.set(hessian.subarray(from, from + size), i * size);
    }
    const inverted = inverse(part, size);
    for (let row = 0; row < rows; row++) {
      const at = row * columns + start;
      pieces.push({ weight: weight.subarray(at, at + size), inverse: inverted });
    }
  }
  const quotas = pattern
    ? pieces.map((): Quota => ({ pattern }))
    : options.scope === "row"
      ? pieces.map(
          (piece): Quota => ({ count: Math.round(options.sparsity * piece.weight.length) }),
        )
      : jointQuotas(pieces, options.sparsity);
  for (const [i, piece] of pieces.entries()) eliminate(piece.weight, piece.inverse, quotas[i]);
}

/**
 * The number of columns per block: at most `block`, about even, and a multiple of the pattern's m.
 */
function widthOf(columns: number, block: number, multiple: number): number {
  if (block === 0 || block >= columns) return columns;
  const even = Math.ceil(columns / Math.ceil(columns / block));
  return Math.ceil(even / multiple) * multiple;
}

/**
 * How many weights each piece loses when the cheapest of the whole layer are removed (algorithm 2).
 * A row loses its weights in a fixed order, so a removal costs the largest cost up to it.
 */
function jointQuotas(pieces: readonly Piece[], sparsity: number): Quota[] {
  const costs = pieces.map(({ weight, inverse }) => {
    const { length } = weight;
    let most = 0;
    return Float32Array.from(
      eliminate(weight.slice(), inverse, { count: length }).costs,
      (cost) => {
        most = Math.max(most, cost);
        return most;
      },
    );
  });
  const falls = lowest(costs, sparsity);
  return costs.map((row) => ({ count: row.filter((cost) => falls(cost)).length }));
}
