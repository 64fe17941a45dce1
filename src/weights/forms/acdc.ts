/** @file ACDC: blocks that are cascades of diagonals and cosine transforms. */
import type { Value } from "../../ir/graph.ts";
import type { Builder } from "../../ops/builder.ts";
import { fromBlocks } from "../blocks.ts";
import { defineForm, learns, type Shape } from "../form.ts";

/** Lengths of cascades that there are; each is a structure of nodes of its own. */
export const LONGEST = 4;

/**
 * W [m, n] of blocks [b, b], a and d [p q, K, b] with p = ceil(m / b), q = ceil(n / b):
 *   block = A_1 C D_1 C^-1 ... A_K C D_K C^-1,   C the orthonormal DCT-II of size b
 * What stands over m or n is cut off.
 */
export const acdc = defineForm({
  kind: "ACDC",
  cite: "Moczulski et al. 2016, arXiv 1511.05946",
  doc: "W = A_1 C D_1 C^-1 ... A_K C D_K C^-1 in blocks, C the DCT-II",
  theta: { a: learns({ channels: 0 }), d: learns({ channels: 0 }) },
  build(g, { a, d }, shape) {
    const [, layers, size] = a.shape as Shape;
    const c = cosines(g, size);
    const left = g.Mul(g.Unsqueeze(a, g.ints([-1], "column")), c);
    const scaled = g.Mul(left, g.Unsqueeze(d, g.ints([-2], "row")));
    const all = g.MatMul(scaled, g.Transpose(c, { perm: [1, 0] }));
    const blocks = Array.from({ length: layers }, (_, k) =>
      g.Gather(all, g.constant(k, { dtype: "int64" }), { axis: 1 }),
    ).reduce((before, next) => g.MatMul(before, next));
    return fromBlocks(g, blocks, size, shape);
  },
  examples: Array.from({ length: LONGEST }, (_, k) => ({
    shape: [6, 5],
    theta: { a: [4, k + 1, 3], d: [4, k + 1, 3] },
  })),
});

/**
 * C [size, size]: sqrt(2 / size) cos(pi (2 t + 1) k / (2 size)), row 0 over sqrt(2). The product is
 * reduced modulo a whole turn before it becomes a float.
 */
function cosines(g: Builder, size: number): Value {
  const int = (x: number) => g.constant(x, { dtype: "int64" });
  const k = g.Reshape(g.Range(int(0), int(size), int(1)), g.ints([-1, 1], "rows"));
  const odd = g.Range(int(1), int(2 * size), int(2));
  const turn = g.Cast(g.Mod(g.Mul(k, odd), int(4 * size)), { to: 1 });
  const waves = g.Cos(g.Mul(turn, g.constant(Math.PI / (2 * size))));
  const rows = g.Min(g.Add(g.Cast(k, { to: 1 }), g.constant(Math.SQRT1_2)), g.constant(1));
  return g.Mul(waves, g.Mul(rows, g.constant(Math.sqrt(2 / size))));
}
