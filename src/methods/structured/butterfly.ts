/** @file Butterfly: weight matrices of blocks that are products of sparse factors. */
import { z } from "zod";
import {
  chosenBlocks,
  eachBlock,
  type Matrix,
  storeStructured,
  structureOptions,
} from "../../layers/structure.ts";
import { levelsOf, nearestButterfly } from "../../numeric/butterfly.ts";
import { butterflySize, butterfly as form, LARGEST } from "../../weights/forms/butterfly.ts";
import { type Composed, composed, leaf } from "../../weights/weight.ts";
import { defineMethod } from "../method.ts";

export const butterfly = defineMethod({
  title: "butterfly matrices",
  equation: "W = B_b ... B_4 B_2 in blocks of b, each factor of 2 x 2 blocks of diagonals",
  cite: "Dao et al. 2019, arXiv 1903.05895; Le et al. 2021, arXiv 2110.01230 (projection)",
  summary:
    "Weight matrices become blocks that are products of log2 b sparse factors, rebuilt at load; train after it.",
  needs: [],
  isStart: true,
  options: z.object({
    ...structureOptions,
    block: z.int().min(0).max(LARGEST).default(0).meta({
      description:
        "Size of a block, rounded up to a power of two; 0 takes the smallest that keeps to the ratio.",
    }),
  }),
  survey: [{}],
  neutral: { ratio: 1 },
  apply: (model, options, context) =>
    storeStructured(model, options, context, (matrix, numbers) =>
      project(matrix, numbers, options.block),
    ),
});

/** Powers of two from 2 to the largest block. */
const sizes = Array.from({ length: levelsOf(LARGEST) }, (_, s) => 2 ** (s + 1));

/** Butterflies with at most `numbers` numbers, block by block. */
function project(matrix: Matrix, numbers: number, block: number): Composed | string {
  const given = block && (sizes.find((size) => size >= block) as number);
  const cutting = { kind: "butterfly matrix", given, sizes, each: butterflySize };
  const blocks = chosenBlocks(matrix, numbers, cutting);
  if (typeof blocks === "string") return blocks;
  const { size, down, across } = blocks;
  const depth = levelsOf(size);
  const count = down * across;
  const twiddle = new Float32Array(depth * count * 2 * size);
  for (const { at, values } of eachBlock(matrix, blocks)) {
    for (const [s, level] of nearestButterfly(values, size).entries()) {
      twiddle.set(level, (at * depth + s) * 2 * size);
    }
  }
  return composed(form, matrix.shape, { twiddle: leaf(twiddle, [count, depth, 2 * size]) });
}
