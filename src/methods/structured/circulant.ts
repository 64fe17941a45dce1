/** @file Circulant: weight matrices of circulant blocks, one number for each wrapped diagonal. */
import { z } from "zod";
import {
  chosenBlocks,
  type Matrix,
  sizesOf,
  storeStructured,
  structureOptions,
} from "../../layers/structure.ts";
import { type Circulant, fitSignedCirculant, nearestCirculant } from "../../numeric/circulant.ts";
import { transpose } from "../../numeric/matrix.ts";
import { circulant as form, signedCirculant as signedForm } from "../../weights/forms/circulant.ts";
import { type Composed, composed, leaf, wholeLeaf } from "../../weights/weight.ts";
import { defineMethod } from "../method.ts";

/** Times that all signs are tried the other way round; they mostly stand still after 5. */
const SWEEPS = 40;

export const circulant = defineMethod({
  title: "circulant blocks",
  equation: "W[x, y] = s_y r[x / b, y / b, (x - y) mod b], r the mean of each wrapped diagonal",
  cite: "Cheng et al. 2015, arXiv 1502.03436; Ding et al. 2017, arXiv 1708.08917 (blocks)",
  summary:
    "Weight matrices become blocks with one number for each wrapped diagonal, rebuilt at load; train after it.",
  needs: [],
  isStart: true,
  options: z.object({
    ...structureOptions,
    block: z.int().min(0).max(65536).default(0).meta({
      description:
        "Size of a block; 0 takes the smallest that keeps to the ratio, and the larger of both sizes makes one block of the matrix.",
    }),
    signs: z
      .enum(["none", "random", "fitted"])
      .default("fitted")
      .meta({
        description:
          "Signs of the layer's inputs, one bit each: drawn as in the paper, or the best ones found from there.",
        search: ["none", "random", "fitted"],
      }),
  }),
  survey: [{}],
  neutral: { ratio: 1 },
  apply: (model, options, context) =>
    storeStructured(model, options, context, (matrix, numbers) =>
      project(matrix, numbers, options),
    ),
});

interface Options {
  readonly block: number;
  readonly signs: "none" | "random" | "fitted";
}

/** The nearest matrix of circulant blocks with at most `numbers` numbers, or of the given block. */
function project(matrix: Matrix, numbers: number, options: Options): Composed | string {
  const { values, rows, columns, shape, inputs } = matrix;
  const blocks = chosenBlocks(matrix, numbers, {
    kind: "circulant matrix",
    given: Math.min(options.block, Math.max(rows, columns)),
    sizes: sizesOf(matrix),
    each: (size) => size,
  });
  if (typeof blocks === "string") return blocks;
  const { size: block, down, across } = blocks;
  const dims = [down, across, block];
  if (options.signs === "none") {
    return composed(form, shape, {
      r: leaf(nearestCirculant(values, { rows, columns, block }), dims),
    });
  }
  // Signs belong to inputs: if those are the rows, the transposed matrix is fitted, whose circulant is
  // transposed back by reading each wrapped diagonal backwards.
  const isTurned = inputs === "rows";
  const size: Circulant = isTurned
    ? { rows: columns, columns: rows, block }
    : { rows, columns, block };
  const w = isTurned ? transpose(values, rows, columns) : values;
  const drawn = Int8Array.from({ length: size.columns }, () => 2 * matrix.random.int(2) - 1);
  const fitted = fitSignedCirculant(w, size, drawn, options.signs === "random" ? 0 : SWEEPS);
  const signs = wholeLeaf(fitted.signs, isTurned ? [rows, 1] : [1, columns], true, 1);
  const r = isTurned ? turned(fitted.r, dims) : fitted.r;
  return composed(signedForm, shape, { r: leaf(r, dims), signs });
}

/** r [q, p, b] of a matrix -> r [p, q, b] of its transpose: element k of a block becomes -k mod b. */
function turned(r: Float32Array, [down, across, block]: readonly number[]): Float32Array {
  return Float32Array.from(r, (_, at) => {
    const k = at % block;
    const j = Math.floor(at / block) % across;
    const i = Math.floor(at / (block * across));
    return r[(j * down + i) * block + ((block - k) % block)];
  });
}
