/** @file Monarch: two block-diagonal matrices with a permutation between them. */
import { defineForm, learns } from "../form.ts";

/**
 * W [m, n] = P L P^T R (Dao et al. 2022). R has k blocks [q, n / k], L has q blocks [m / q, k].
 * With row (l, j) and column (i, t),
 *   W[(l, j), (i, t)] = L[j, l, i] R[i, j, t]
 * so every slice (j, i) of W has rank 1, and k m + q n numbers replace m n.
 */
export const monarch = defineForm({
  kind: "monarch",
  cite: "Dao et al. 2022, arXiv 2204.00595, section 3",
  doc: "W = P L P^T R, L and R block-diagonal",
  theta: { left: learns({ channels: 0 }), right: learns({ channels: 0 }) },
  build: (g, { left, right }, shape) =>
    g.Reshape(g.Einsum(left, right, { equation: "jli,ijt->ljit" }), g.ints(shape, "shape")),
  examples: [{ shape: [6, 4], theta: { left: [3, 2, 2], right: [2, 3, 2] } }],
});
