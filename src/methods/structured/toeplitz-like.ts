/** @file Toeplitz-like: weight matrices of blocks with a low displacement rank. */
import { z } from "zod";
import {
  blocksOf,
  eachBlock,
  type Matrix,
  storeStructured,
  structureOptions,
  whyNone,
} from "../../layers/structure.ts";
import { fromDisplacement, refine } from "../../numeric/toeplitz-like.ts";
import { toeplitzLike as form } from "../../weights/forms/toeplitz-like.ts";
import { type Composed, composed, leaf } from "../../weights/weight.ts";
import { defineMethod } from "../method.ts";

/** Rebuilding a block of size b from generators of rank r takes r b^3 products: larger ones are cut. */
const LARGEST = 128;

/** Of a matrix without structure, the error hardly falls after so many sweeps of least squares. */
const SWEEPS = 12;

/** The penalty on generators, see `refine`: a little less of W is kept, and more of it in 4 bits. */
const RIDGE = 0.01;

export const toeplitzLike = defineMethod({
  title: "Toeplitz-like matrices",
  equation: "W = sum_k Z_1(g_k) Z_-1(h_k)^T in blocks; Z_1 W - W Z_-1 has rank r",
  cite: "Sindhwani et al. 2015, arXiv 1510.01722; Pan 2001 (inversion of the displacement)",
  summary:
    "Weight matrices become blocks of low displacement rank, sums of circulant times skew-circulant matrices, rebuilt at load; train after it.",
  needs: [],
  isStart: true,
  options: z.object({
    ...structureOptions,
    block: z
      .int()
      .min(0)
      .max(4096)
      .default(0)
      .meta({
        description: `Size of a block; 0 cuts the smaller side of the matrix into equal parts of ${LARGEST} at most.`,
      }),
  }),
  survey: [{}],
  neutral: { ratio: 1 },
  apply: (model, options, context) =>
    storeStructured(model, options, context, (matrix, numbers) =>
      project(matrix, numbers, options.block),
    ),
});

/**
 * Blocks of the largest displacement rank whose generators are at most `numbers` numbers. The truncated
 * SVD of the displacement is exact on blocks of this rank; on others its error is the larger the larger
 * the block, because inverting the displacement enlarges what was cut off, up to several times W itself.
 * Least squares from there on take most of that back.
 */
function project(matrix: Matrix, numbers: number, block: number): Composed | string {
  const { rows, columns } = matrix;
  const least = Math.min(rows, columns);
  // A block larger than the matrix would take b^3 products of zeros.
  const given = Math.min(block, Math.max(rows, columns));
  const size = given || Math.ceil(least / Math.ceil(least / LARGEST));
  const blocks = blocksOf(matrix, size);
  const { down, across } = blocks;
  const rank = Math.min(size, Math.floor(numbers / (2 * down * across * size)));
  if (rank < 1) return whyNone(matrix, numbers, "Toeplitz-like matrix");
  const g = new Float32Array(down * across * rank * size);
  const h = new Float32Array(g.length);
  for (const { at, values } of eachBlock(matrix, blocks)) {
    const found = refine(values, size, fromDisplacement(values, size, rank), SWEEPS, RIDGE);
    g.set(found.g, at * rank * size);
    h.set(found.h, at * rank * size);
  }
  const dims = [down * across, rank, size];
  return composed(form, matrix.shape, { g: leaf(g, dims), h: leaf(h, dims) });
}
