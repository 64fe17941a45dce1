/** @file Tensor train: weight matrices as chains of small cores, by TT-SVD. */
import { z } from "zod";
import { type Matrix, storeStructured, structureOptions, whyNone } from "../../layers/structure.ts";
import { permute } from "../../numeric/permute.ts";
import { splitSizes, tensorTrain as train } from "../../numeric/tensor-train.ts";
import { coreShapes, tensorTrain3, tensorTrain4 } from "../../weights/forms/tensor-train.ts";
import { type Composed, composed, leaf } from "../../weights/weight.ts";
import { defineMethod } from "../method.ts";

export const tensorTrain = defineMethod({
  title: "tensor trains",
  equation: "W[(a, c, e), (b, d, f)] = sum_(r, s) A[a, b, r] B[r, c, d, s] C[s, e, f]",
  cite: "Novikov et al. 2015, arXiv 1509.06569; Oseledets 2011 (TT-SVD)",
  summary:
    "Weight matrices become chains of three or four small cores, rebuilt at load; train after it.",
  needs: [],
  isStart: true,
  options: z.object({
    ...structureOptions,
    cores: z
      .int()
      .min(3)
      .max(4)
      .default(4)
      .meta({
        description: "Length of the chain; two cores are what kronecker gives.",
        search: [4, 3],
      }),
  }),
  survey: [{}],
  neutral: { ratio: 1 },
  apply: (model, options, context) =>
    storeStructured(model, options, context, (matrix, numbers) =>
      project(matrix, numbers, options.cores),
    ),
});

/**
 * The tensor train of W [m, n] with at most `numbers` numbers. Both sizes are written as products of
 * as many factors as there are cores, W as the tensor [m1, n1, m2, n2, ...].
 */
function project(matrix: Matrix, numbers: number, cores: number): Composed | string {
  const { values, rows, columns, shape } = matrix;
  const sizes = splitSizes(rows, columns, cores);
  const dims = sizes.rows.map((m, k) => m * sizes.columns[k]);
  const order = sizes.rows.flatMap((_, k) => [k, cores + k]);
  const tensor = permute(values, [...sizes.rows, ...sizes.columns], order);
  const found = train(tensor, dims, numbers);
  if (!found) {
    return whyNone({ rows, columns }, numbers, "tensor train");
  }
  const shapes = coreShapes(sizes.rows, sizes.columns, found.ranks);
  const [a, b, c, d] = found.cores.map((core, k) => leaf(core, shapes[k]));
  return cores === 3
    ? composed(tensorTrain3, shape, { a, b, c })
    : composed(tensorTrain4, shape, { a, b, c, d });
}
