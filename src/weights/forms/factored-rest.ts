/** @file A product of two thin matrices, and beside it the few numbers that it misses most. */
import { defineForm, learns } from "../form.ts";

/** W = L R + S with L [m, r], R [r, n] and S of W's shape, mostly zeros. W is [m, ...], n in all. */
export const factoredRest = defineForm({
  kind: "factored with rest",
  cite: "Yu et al. 2017 (CVPR, low-rank and sparse); Zhang, Papyan 2024, arXiv 2409.13652 (OATS)",
  doc: "W = L R + S",
  theta: { left: learns({ channels: 0 }), right: learns({ channels: 1 }), rest: learns() },
  build: (g, { left, right, rest }, shape) =>
    g.Add(g.Reshape(g.MatMul(left, right), g.ints(shape, "shape")), rest),
  examples: [{ shape: [6, 4], theta: { left: [6, 2], right: [2, 4], rest: [6, 4] } }],
});
