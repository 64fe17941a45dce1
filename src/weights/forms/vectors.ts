/** @file Vectors: runs of weights are indices into codebooks of vectors (product quantization). */
import type { Value } from "../../ir/graph.ts";
import { defineForm, integers, learns, type Shape } from "../form.ts";

/**
 * W cut into vectors of d numbers along one axis, each an entry of a codebook.
 *
 * With codebook [K, d] and index [rows, runs], row r of W is the runs C[i_r1], C[i_r2], .... With
 * index [runs, columns] the vectors stand upright: they run down the columns of W. d > 1, so that the
 * shapes tell the two apart.
 *
 * Codebook [T, B, K, d] and index [T, ...] are sums of T stages (residual quantization), each with
 * one codebook (B = 1) or one per run (B = runs):
 *   W = sum_t C[t, b, i_t]
 */
export const vectors = defineForm({
  kind: "vectors",
  cite: "Gong et al. 2014, arXiv 1412.6115, section 3.3; Wu et al. 2016, arXiv 1512.06473",
  doc: "W = C[i], rows of W cut into vectors; a sum over stages",
  theta: { codebook: learns({ keepsZeros: false }), index: integers("int32", 0, 2 ** 16 - 1) },
  build(g, { codebook, index }, shape) {
    const dims = codebook.shape as Shape;
    const size = dims.at(-1) as number;
    const [first, second] = (index.shape as Shape).slice(-2);
    const isUpright = first * size === shape[0] && second === shape[1];
    let found: Value;
    if (dims.length === 2) found = g.Gather(codebook, index, { axis: 0 });
    else {
      const [stages, books, entries] = dims;
      const range = [0, stages * books * entries, entries].map((x) =>
        g.constant(x, { dtype: "int32" }),
      );
      // Where the codebook of each stage and run begins in the list of all entries.
      const begins = g.Reshape(
        g.Range(range[0], range[1], range[2]),
        g.ints(isUpright ? [stages, books, 1] : [stages, 1, books], "books"),
      );
      const entry = g.Add(index, begins);
      found = g.Gather(g.Reshape(codebook, g.ints([-1, size], "entries")), entry, { axis: 0 });
      found = g.ReduceSum(found, g.ints([0]), { keepdims: 0 });
    }
    if (!isUpright) return g.Reshape(found, g.ints(shape, "shape"));
    return g.Reshape(g.Transpose(found, { perm: [0, 2, 1] }), g.ints(shape, "shape"));
  },
  examples: [
    { shape: [6, 4], theta: { codebook: [5, 2], index: [6, 2] } },
    { shape: [4, 6], theta: { codebook: [5, 2], index: [2, 6] } },
    { shape: [6, 4], theta: { codebook: [2, 2, 5, 2], index: [2, 6, 2] } },
    { shape: [4, 6], theta: { codebook: [2, 1, 5, 2], index: [2, 2, 6] } },
  ],
});
