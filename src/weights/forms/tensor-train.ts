/** @file Tensor train: a matrix as a chain of three or four cores. */
import type { Value } from "../../ir/graph.ts";
import type { Builder } from "../../ops/builder.ts";
import { defineForm, learns, type Shape } from "../form.ts";

const cite = "Novikov et al. 2015, arXiv 1509.06569, section 3; Oseledets 2011";

const core = (channels: number) => learns({ channels, keepsZeros: true });

/** The two cores as one [m1, n1, ..., m, n, r]: the rank between them is summed over. */
const joined = (g: Builder, left: Value, right: Value, equation: string): Value =>
  g.Einsum(left, right, { equation });

/**
 * W [m1 m2 m3, n1 n2 n3] with cores A [m1, n1, r1], B [r1, m2, n2, r2], C [r2, m3, n3]:
 *   W[(a, c, e), (b, d, f)] = sum_(r, s) A[a, b, r] B[r, c, d, s] C[s, e, f]
 */
export const tensorTrain3 = defineForm({
  kind: "tensor train of 3 cores",
  cite,
  doc: "W[(a, c, e), (b, d, f)] = sum_(r, s) A[a, b, r] B[r, c, d, s] C[s, e, f]",
  theta: { a: core(2), b: core(0), c: core(0) },
  build(g, { a, b, c }, shape) {
    const left = joined(g, a, b, "abr,rcds->abcds");
    const whole = joined(g, left, c, "abcds,sef->acebdf");
    return g.Reshape(whole, g.ints(shape, "shape"));
  },
  examples: [{ shape: [12, 8], theta: { a: [2, 2, 3], b: [3, 3, 2, 2], c: [2, 2, 2] } }],
});

/**
 * W [m1 m2 m3 m4, n1 n2 n3 n4], one core more:
 *   W[(a, c, e, h), (b, d, f, i)] = sum A[a, b, r] B[r, c, d, s] C[s, e, f, t] D[t, h, i]
 */
export const tensorTrain4 = defineForm({
  kind: "tensor train of 4 cores",
  cite,
  doc: "W[(a, c, e, h), (b, d, f, i)] = sum_(r, s, t) A[a, b, r] B[r, c, d, s] C[s, e, f, t] D[t, h, i]",
  theta: { a: core(2), b: core(0), c: core(0), d: core(0) },
  build(g, { a, b, c, d }, shape) {
    // From both ends: the two halves are small, and one product makes W of them.
    const left = joined(g, a, b, "abr,rcds->abcds");
    const right = joined(g, c, d, "seft,thi->sefhi");
    const whole = joined(g, left, right, "abcds,sefhi->acehbdfi");
    return g.Reshape(whole, g.ints(shape, "shape"));
  },
  examples: [
    {
      shape: [12, 16],
      theta: { a: [2, 2, 3], b: [3, 3, 2, 2], c: [2, 1, 2, 3], d: [3, 2, 2] },
    },
  ],
});

/** The shapes of the cores of W [rows, columns], from the factors of its sizes and the ranks. */
export function coreShapes(
  rows: readonly number[],
  columns: readonly number[],
  ranks: readonly number[],
): Shape[] {
  return rows.map((m, k) => [
    ...(k > 0 ? [ranks[k - 1]] : []),
    m,
    columns[k],
    ...(k < ranks.length ? [ranks[k]] : []),
  ]);
}
