/** @file Toeplitz-like: blocks of low displacement rank, sums of circulant times skew-circulant. */
import { fromBlocks } from "../blocks.ts";
import { defineForm, learns } from "../form.ts";

/**
 * W [m, n] of blocks [b, b], each with generators g and h [r, b]; g and h are [p q, r, b] with
 * p = ceil(m / b) and q = ceil(n / b). A block is
 *   sum_k Z_1(g_k) Z_-1(h_k)^T,   [i, j]: sum_(k, t) g_k[(i - t) mod b] +-h_k[(j - t) mod b]
 * with minus where j < t. What stands over m or n is cut off.
 */
export const toeplitzLike = defineForm({
  kind: "Toeplitz-like",
  cite: "Sindhwani et al. 2015, arXiv 1510.01722, section 3",
  doc: "W = sum_k Z_1(g_k) Z_-1(h_k)^T in blocks, Z_f the shift that wraps with factor f",
  theta: { g: learns({ channels: 0 }), h: learns({ channels: 0 }) },
  build(b, { g, h }, shape) {
    const size = g.shape?.at(-1) as number;
    const int = (x: number) => b.constant(x, { dtype: "int64" });
    const [one, length] = [int(1), int(size)];
    const row = b.Range(int(0), length, one);
    const column = b.Reshape(row, b.ints([-1, 1], "column"));
    // Rows i, columns t; and rows t, columns j, where h continues with -h below zero.
    const left = b.Gather(g, b.Mod(b.Sub(column, row), length), { axis: 2 });
    const wrapped = b.Mod(b.Sub(row, column), int(2 * size));
    const right = b.Gather(b.Concat(h, b.Neg(h), { axis: 2 }), wrapped, { axis: 2 });
    const blocks = b.ReduceSum(b.MatMul(left, right), b.ints([1], "axes"), { keepdims: 0 });
    return fromBlocks(b, blocks, size, shape);
  },
  examples: [{ shape: [6, 5], theta: { g: [4, 2, 4], h: [4, 2, 4] } }],
});
