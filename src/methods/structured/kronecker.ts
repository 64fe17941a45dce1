/** @file Kronecker: weight matrices as sums of Kronecker products of two small matrices. */
import { z } from "zod";
import { applyStructured, kroneckerProducts, productOptions } from "../../layers/products.ts";
import { divisorsOf, type Matrix, whyNone } from "../../layers/structure.ts";
import { svd } from "../../numeric/svd.ts";
import { kronecker as form } from "../../weights/forms/kronecker.ts";
import { type Composed, composed, leaf } from "../../weights/weight.ts";
import { defineMethod } from "../method.ts";

export const kronecker = defineMethod({
  title: "Kronecker products",
  equation: "W = sum_r A_r (x) B_r: W[(a, c), (b, d)] = sum_r A[a, b, r] B[r, c, d]",
  cite: "Zhang et al. 2015, arXiv 1509.08513; Van Loan, Pitsianis 1993",
  summary:
    "Weight matrices become sums of Kronecker products of two small ones, rebuilt at load; train after it.",
  needs: [],
  isStart: true,
  options: z.object(productOptions),
  survey: [{}],
  neutral: { ratio: 1 },
  apply: (model, options, context) =>
    applyStructured(model, options, context, project, kroneckerProducts),
});

/**
 * The best W [m1 m2, n1 n2] ~ sum_r A_r (x) B_r with at most `numbers` numbers. With the
 * rearrangement
 *   R[(a, b), (c, d)] = W[(a, c), (b, d)]
 * the error |W - sum_r A_r (x) B_r| equals |R - sum_r vec(A_r) vec(B_r)^T|, so the truncated SVD of
 * R gives the best sum of any length (Van Loan, Pitsianis 1993). Of all shapes, the one with the
 * smallest products allows the most of them.
 */
function project({ values, rows, columns, shape }: Matrix, numbers: number): Composed | string {
  let best = { m1: 1, n1: 1, size: Number.POSITIVE_INFINITY };
  for (const m1 of divisorsOf(rows)) {
    for (const n1 of divisorsOf(columns)) {
      const size = m1 * n1 + (rows * columns) / (m1 * n1);
      if (size < best.size) best = { m1, n1, size };
    }
  }
  const { m1, n1, size } = best;
  const terms = Math.floor(numbers / size);
  if (terms < 1) return whyNone({ rows, columns }, numbers, "Kronecker product");
  const [m2, n2] = [rows / m1, columns / n1];
  const rearranged = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const [row, column] = [Math.floor(i / columns), i % columns];
    const left = Math.floor(row / m2) * n1 + Math.floor(column / n2);
    rearranged[left * m2 * n2 + (row % m2) * n2 + (column % n2)] = values[i];
  }
  const { u, s, v } = svd(rearranged, m1 * n1, m2 * n2);
  const a = new Float32Array(m1 * n1 * terms);
  const b = new Float32Array(terms * m2 * n2);
  for (let r = 0; r < terms; r++) {
    // Each side gets half of the singular value, because weights of like size learn alike.
    const root = Math.sqrt(s[r]);
    for (let i = 0; i < m1 * n1; i++) a[i * terms + r] = root * u[i * s.length + r];
    for (let i = 0; i < m2 * n2; i++) b[r * m2 * n2 + i] = root * v[i * s.length + r];
  }
  return composed(form, shape, { a: leaf(a, [m1, n1, terms]), b: leaf(b, [terms, m2, n2]) });
}
