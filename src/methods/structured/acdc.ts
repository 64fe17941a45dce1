/** @file ACDC: weight matrices of blocks that are cascades of diagonals and cosine transforms. */
import { z } from "zod";
import {
  chosenBlocks,
  eachBlock,
  type Matrix,
  sizesOf,
  storeStructured,
  structureOptions,
} from "../../layers/structure.ts";
import { cosines, drawnSigns, fitDiagonals, identity, sweepsFor } from "../../numeric/diagonals.ts";
import { transpose } from "../../numeric/matrix.ts";
import { acdc as form, LONGEST } from "../../weights/forms/acdc.ts";
import { type Composed, composed, leaf } from "../../weights/weight.ts";
import { defineMethod } from "../method.ts";

export const acdc = defineMethod({
  title: "ACDC cascades",
  equation: "W = A_1 C D_1 C^-1 ... A_K C D_K C^-1 in blocks, C the DCT-II; A and D learn",
  cite: "Moczulski et al. 2016, arXiv 1511.05946",
  summary:
    "Weight matrices become blocks that are cascades of diagonals and cosine transforms, rebuilt at load; train after it.",
  needs: [],
  isStart: true,
  options: z.object({
    ...structureOptions,
    layers: z
      .int()
      .min(1)
      .max(LONGEST)
      .default(2)
      .meta({ description: "Length of the cascade, K.", search: [1, 2, 4] }),
    block: z.int().min(0).max(4096).default(0).meta({
      description: "Size of a block; 0 takes the smallest that keeps to the ratio.",
    }),
  }),
  survey: [{}],
  neutral: { ratio: 1 },
  apply: (model, options, context) =>
    storeStructured(model, options, context, (matrix, numbers) =>
      project(matrix, numbers, options),
    ),
});

/**
 * Cascades with at most `numbers` numbers. There is no closed form: every block is fitted by least squares
 * over its diagonals in turn, from drawn signs.
 */
function project(
  matrix: Matrix,
  numbers: number,
  { layers, block }: { readonly layers: number; readonly block: number },
): Composed | string {
  const blocks = chosenBlocks(matrix, numbers, {
    kind: "ACDC cascade",
    given: Math.min(block, Math.max(matrix.rows, matrix.columns)),
    sizes: sizesOf(matrix),
    each: (size) => 2 * layers * size,
  });
  if (typeof blocks === "string") return blocks;
  const { size, down, across } = blocks;
  const c = cosines(size);
  const inverse = transpose(c, size, size);
  const one = identity(size);
  const matrices = [one, ...Array.from({ length: layers }, () => [c, inverse]).flat()];
  const [a, d] = [0, 1].map(() => new Float32Array(down * across * layers * size));
  for (const own of eachBlock(matrix, blocks)) {
    const start = Array.from({ length: 2 * layers }, () => drawnSigns(matrix.random, size));
    const found = fitDiagonals(own.values, size, matrices, start, sweepsFor(size), own);
    for (const [k, x] of found.entries()) {
      (k % 2 === 0 ? a : d).set(x, (own.at * layers + Math.floor(k / 2)) * size);
    }
  }
  const dims = [down * across, layers, size];
  return composed(form, matrix.shape, { a: leaf(a, dims), d: leaf(d, dims) });
}
