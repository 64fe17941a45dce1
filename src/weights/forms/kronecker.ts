/** @file Kronecker: a matrix as a sum of Kronecker products of two small matrices. */
import { defineForm, learns } from "../form.ts";

/**
 * W [m1 m2, n1 n2] = sum_r A_r (x) B_r with A [m1, n1, R] and B [R, m2, n2]:
 *   W[(a, c), (b, d)] = sum_r A[a, b, r] B[r, c, d]
 */
export const kronecker = defineForm({
  kind: "kronecker",
  cite: "Zhang et al. 2015, arXiv 1509.08513; Van Loan, Pitsianis 1993 (nearest Kronecker product)",
  doc: "W = sum_r A_r (x) B_r",
  theta: { a: learns({ channels: 2 }), b: learns({ channels: 0 }) },
  build: (g, { a, b }, shape) =>
    g.Reshape(g.Einsum(a, b, { equation: "abr,rcd->acbd" }), g.ints(shape, "shape")),
  examples: [{ shape: [6, 4], theta: { a: [2, 2, 1], b: [1, 3, 2] } }],
});
