/** @file Optimal brain surgeon, layer by layer: weights go one by one, the others make up for each. */
import { z } from "zod";
import { eliminate, type Quota } from "../../numeric/eliminate.ts";
import { inverse } from "../../numeric/inverse.ts";
import { type HessianLayer, hessianOptions, pruneByHessian } from "../../sparsity/by-hessian.ts";
import { lowest, parsePattern, sharedOptions } from "../../sparsity/by-score.ts";
import { defineMethod } from "../method.ts";

export const pruneObs = defineMethod({
  title: "optimal brain surgeon",
  cite: "Hassibi, Stork 1993; Frantar, Alistarh 2022, arXiv 2208.11580",
  summary: "Removes weights one by one and lets the rest of each output make up for them.",
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
          "Inputs that make up for each other; 0: all, exact, and slower by the square (blocks leave out H between them).",
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

/** Some columns of one row, and H^-1 over them. */
interface Piece {
  readonly weight: Float64Array;
  readonly inverse: Float64Array;
}

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

/** Even pieces of at most `block` columns, of whole patterns. */
function widthOf(columns: number, block: number, multiple: number): number {
  if (block === 0 || block >= columns) return columns;
  const even = Math.ceil(columns / Math.ceil(columns / block));
  return Math.ceil(even / multiple) * multiple;
}

/**
 * How many weights each row loses when the cheapest of the whole layer go (algorithm 2): a row's
 * next removal waits for those before it, so what counts is the largest cost so far.
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
