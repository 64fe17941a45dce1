/** @file Dictionary: a few rows of a matrix, and how all others are mixed from them. */
import { defineForm, integers, learns } from "../form.ts";

/**
 * The rows of W, flattened to [rows, n], are order[i] of [K; M K] with the kept rows K [r, n] and
 * the mixture M [rows - r, r].
 */
export const dictionary = defineForm({
  kind: "dictionary",
  cite: "Denil et al. 2013, arXiv 1306.0543, section 3",
  doc: "W = [K; M K][order]",
  theta: {
    kept: learns({ channels: 0 }),
    mix: learns({ channels: 0 }),
    order: integers("int32", 0, 2 ** 16 - 1),
  },
  build(g, { kept, mix, order }, shape) {
    const rows = g.Concat(kept, g.MatMul(mix, kept), { axis: 0 });
    return g.Reshape(g.Gather(rows, order, { axis: 0 }), g.ints(shape, "shape"));
  },
  examples: [{ shape: [6, 4], theta: { kept: [2, 4], mix: [4, 2], order: [6] } }],
});
