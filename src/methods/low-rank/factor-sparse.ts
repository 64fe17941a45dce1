/** @file Low rank and a sparse rest: a few large weights do not have to be paid for in rank. */
import { z } from "zod";
import { type Whitener, whiten } from "../../evidence/whitener.ts";
import type { Evidence, Point, Stored } from "../../factor/decomposition.ts";
import { factorLayers } from "../../factor/layers.ts";
import { factorNeeds, factorOptions } from "../../factor/options.ts";
import { costOf } from "../../layers/cost.ts";
import type { Layer } from "../../layers/matrix.ts";
import { transpose } from "../../numeric/matrix.ts";
import { svd, truncate } from "../../numeric/svd.ts";
import { factoredRest } from "../../weights/forms/factored-rest.ts";
import { composed, leaf } from "../../weights/weight.ts";
import { defineMethod } from "../method.ts";

/** Shares of a layer's weights that are offered. */
const SHARES = [0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7];
/** What a number of the rest takes, with its position, beside a number of a factor. */
const PLACED = 1.25;
/** Alternations, by the smaller of rows and columns up to which they take a second or so. */
const TURNS = [
  { size: 128, turns: 12 },
  { size: 256, turns: 4 },
  { size: Number.POSITIVE_INFINITY, turns: 1 },
];

/**
 * W ~ L R + S of rank r with k numbers in S, by turns, all scaled by D = diag(E[x_j^2])^1/2 where
 * there are records:
 *   L R = SVD_r((W - S) D) D^-1,   S = the k largest of |W - L R| D
 * The file stores L, R and S, and the engine adds them up when it loads the model: a sparse product
 * is no faster than a dense one, so that this is for size alone.
 */
export const factorSparse = defineMethod({
  title: "low rank and sparse",
  equation: "W = L R + S, S: the largest of W - L R",
  cite: "Yu et al. 2017 (CVPR); Zhang, Papyan 2024, arXiv 2409.13652 (OATS), algorithm 1",
  summary: "Weights as a product of thin factors and a few large numbers, rebuilt at load.",
  needs: factorNeeds,
  options: z.object({
    ...factorOptions,
    rank: z
      .number()
      .min(0.05)
      .max(0.95)
      .default(0.3)
      .meta({
        description: "Share of the kept numbers that goes into the factors; the rest is sparse.",
        search: [0.15, 0.3, 0.6],
      }),
  }),
  survey: [],
  neutral: { energy: 1 },
  apply: (model, options, context) => factorLayers(model, options, context, decompose),
});

function decompose(
  layer: Layer,
  { whitener, gains }: Evidence,
  { rank: share }: { readonly rank: number },
): Stored {
  const { matrix, outputs, weight, role } = layer;
  const columns = matrix.length / outputs;
  const scale = scaleOf(whitener, columns);
  const { macs } = costOf(layer);
  const errorOf = (lost: Float32Array): number => {
    let sum = 0;
    for (const [i, x] of (whitener ? whiten(lost, whitener) : lost).entries()) {
      sum += (gains?.[Math.floor(i / columns)] ?? 1) * x * x;
    }
    return sum;
  };
  const split = new Map<Point, Split>();
  for (const part of SHARES) {
    const numbers = part * matrix.length;
    const rank = Math.max(1, Math.floor((share * numbers) / (outputs + columns)));
    const count = Math.floor((numbers - rank * (outputs + columns)) / PLACED);
    if (count < 0 || rank > Math.min(outputs, columns)) continue;
    const found = alternate(layer, rank, count, scale);
    const parameters = Math.ceil(rank * (outputs + columns) + PLACED * count);
    split.set({ ranks: [rank], error: errorOf(found.lost), parameters, macs }, found);
  }
  // All that the layer has, in case that no share keeps the energy.
  const whole = { ranks: [columns], error: 0, parameters: matrix.length, macs };
  return {
    points: [...split.keys(), whole],
    energy: errorOf(matrix),
    weightAt(point) {
      const { left, right, rest } = split.get(point) as Split;
      const rank = point.ranks[0];
      const isTurned = layer.kind === "linear" && role.outputAxis === 1;
      const turned = (a: Float64Array, rows: number, cols: number) =>
        transpose(a, rows, cols, new Float32Array(a.length));
      const theta = isTurned
        ? { left: turned(right, rank, columns), right: turned(left, outputs, rank) }
        : { left: Float32Array.from(left), right: Float32Array.from(right) };
      const [rows, others] = isTurned ? [columns, outputs] : [outputs, columns];
      const dense = isTurned ? turned(rest, outputs, columns) : Float32Array.from(rest);
      return composed(factoredRest, weight.shape, {
        left: leaf(theta.left, [rows, rank]),
        right: leaf(theta.right, [rank, others]),
        rest: leaf(dense, weight.shape),
      });
    },
  };
}

/** D of each column: the root of E[x_j^2], which is row j of S squared; 1 without records. */
function scaleOf(whitener: Whitener | null, columns: number): Float64Array {
  if (!whitener) return new Float64Array(columns).fill(1);
  return Float64Array.from({ length: columns }, (_, j) => {
    let sum = 0;
    for (let k = 0; k < columns; k++) sum += whitener.factor[j * columns + k] ** 2;
    return Math.sqrt(sum);
  });
}

interface Split {
  /** [outputs, rank] */
  readonly left: Float64Array;
  /** [rank, columns] */
  readonly right: Float64Array;
  /** [outputs, columns], zero but for the numbers that are kept. */
  readonly rest: Float64Array;
  /** W - L R - S. */
  readonly lost: Float32Array;
}

function alternate(layer: Layer, rank: number, count: number, scale: Float64Array): Split {
  const { matrix, outputs } = layer;
  const columns = matrix.length / outputs;
  const rest = new Float64Array(matrix.length);
  const keepLargest = (missed: Float32Array): void => {
    const sizes = missed.map((x, i) => Math.abs(x) * scale[i % columns]);
    rest.fill(0);
    if (count === 0) return;
    // Of those that equal the least one kept, the first ones are kept.
    const least = sizes.toSorted()[sizes.length - count];
    let equal = count - sizes.reduce((sum, size) => sum + Number(size > least), 0);
    for (const [i, size] of sizes.entries()) {
      if (size > least || (size === least && equal-- > 0)) rest[i] = missed[i];
    }
  };
  const turns = TURNS.find(({ size }) => Math.min(outputs, columns) <= size)?.turns ?? 1;
  for (let turn = 1; ; turn++) {
    const scaled = rest.map((x, i) => (matrix[i] - x) * scale[i % columns]);
    const { u, s, v } = truncate(svd(scaled, outputs, columns), rank);
    const left = u.map((x, i) => x * s[i % rank]);
    const right = transpose(v, columns, rank).map((x, i) => x / scale[i % columns]);
    const missed = Float32Array.from(matrix, (w, i) => w - at(left, right, i, rank, columns));
    keepLargest(missed);
    if (turn < turns) continue;
    return { left, right, rest, lost: missed.map((x, i) => (rest[i] === 0 ? x : 0)) };
  }
}

/** Element i of L R. */
function at(left: Float64Array, right: Float64Array, i: number, rank: number, columns: number) {
  const [row, column] = [Math.floor(i / columns), i % columns];
  let sum = 0;
  for (let k = 0; k < rank; k++) sum += left[row * rank + k] * right[k * columns + column];
  return sum;
}
