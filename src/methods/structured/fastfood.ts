/** @file Fastfood: weight matrices of blocks S H G P H B, whose diagonals learn. */
import { z } from "zod";
import {
  chosenBlocks,
  eachBlock,
  type Matrix,
  storeStructured,
  structureOptions,
} from "../../layers/structure.ts";
import {
  drawnSigns,
  fitDiagonals,
  hadamard,
  identity,
  sweepsFor,
} from "../../numeric/diagonals.ts";
import { fastfood as form, permutations } from "../../weights/forms/fastfood.ts";
import { PRIME } from "../../weights/forms/hashed.ts";
import { type Composed, composed, type Leaf, leaf } from "../../weights/weight.ts";
import { defineMethod } from "../method.ts";

export const fastfood = defineMethod({
  title: "adaptive fastfood",
  equation: "W = S H G P H B in blocks, H of Walsh and Hadamard, P drawn; S, G, B learn",
  cite: "Yang et al. 2015, Deep Fried Convnets, arXiv 1412.7149",
  summary:
    "Weight matrices become blocks of three diagonals with Hadamard matrices and a permutation between, rebuilt at load; train after it.",
  needs: [],
  isStart: true,
  options: z.object({
    ...structureOptions,
    block: z.int().min(0).max(4096).default(0).meta({
      description:
        "Size of a block, rounded up to a power of two; 0 takes the smallest that keeps to the ratio. As large as the larger side it is the paper's.",
    }),
  }),
  survey: [{}],
  neutral: { ratio: 1 },
  apply: (model, options, context) =>
    storeStructured(model, options, context, (matrix, numbers) =>
      project(matrix, numbers, options.block),
    ),
});

/** The powers of two from 2 up to the first that is not smaller than the largest of the sizes. */
function powersTo(largest: number): number[] {
  const powers = [2];
  while ((powers.at(-1) as number) < largest) powers.push(2 * (powers.at(-1) as number));
  return powers;
}

/**
 * Blocks with at most `numbers` numbers. There is no closed form: every block is fitted by least squares
 * over S, G and B in turn from drawn signs, with its permutation as drawn.
 */
function project(matrix: Matrix, numbers: number, block: number): Composed | string {
  const { rows, columns, random } = matrix;
  const powers = powersTo(Math.max(rows, columns));
  const blocks = chosenBlocks(matrix, numbers, {
    kind: "fastfood matrix",
    given: block && (powersTo(Math.min(block, powers.at(-1) as number)).at(-1) as number),
    sizes: powers,
    each: (size) => 3 * size,
  });
  if (typeof blocks === "string") return blocks;
  const { size, down, across } = blocks;
  const seeds = [1 + random.int(PRIME - 1), random.int(PRIME)];
  const orders = permutations(seeds[0], seeds[1], down * across, size);
  const h = hadamard(size);
  const one = identity(size);
  const [s, g, b] = [0, 1, 2].map(() => new Float32Array(down * across * size));
  for (const own of eachBlock(matrix, blocks)) {
    const order = orders[own.at];
    const permuted = Float64Array.from(
      h,
      (_, k) => h[order[Math.floor(k / size)] * size + (k % size)],
    );
    const start = [0, 1, 2].map(() => drawnSigns(random, size));
    const matrices = [one, h, permuted, one];
    const found = fitDiagonals(own.values, size, matrices, start, sweepsFor(size), own);
    for (const [k, part] of [s, g, b].entries()) part.set(found[k], own.at * size);
  }
  const dims = [down * across, size];
  const seed = (x: number): Leaf => ({
    form: null,
    shape: [],
    values: Float64Array.of(x),
    coding: "int64",
  });
  return composed(form, matrix.shape, {
    ...{ s: leaf(s, dims), g: leaf(g, dims), b: leaf(b, dims) },
    ...{ first: seed(seeds[0]), second: seed(seeds[1]) },
  });
}
