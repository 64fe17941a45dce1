/** @file Low rank: a matrix as the product of two thin ones. */
import { product } from "../../util/product.ts";
import { defineForm, learns } from "../form.ts";

/**
 * W [m, n] = L R with L [m, r] and R [r, n]. A product that is not smaller than W is no such
 * form, so that those which models hold anyway are folded as before.
 */
export const factored = defineForm({
  kind: "factored",
  cite: "Denil et al. 2013, arXiv 1306.0543; Eckart, Young 1936 (truncated SVD)",
  doc: "W = L R",
  theta: { left: learns({ channels: 0 }), right: learns({ channels: 1 }) },
  build(g, { left, right }, shape) {
    const isWhole = left.shape?.length === 2 && shape.every((dim) => dim > 0);
    const sizes = [left, right].map(({ shape }) => product((shape ?? []).map(Number)));
    if (isWhole && sizes[0] + sizes[1] >= product(shape)) throw new Error("the factors are larger");
    return g.MatMul(left, right);
  },
  examples: [{ shape: [6, 5], theta: { left: [6, 2], right: [2, 5] } }],
});
