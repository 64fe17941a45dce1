/** @file Copies: filters that are base filters, turned, mirrored, negated or shifted. */
import type { Value } from "../../ir/graph.ts";
import type { Builder } from "../../ops/builder.ts";
import { defineForm, integers, learns, type Shape } from "../form.ts";
import { reversal } from "./oriented.ts";
import { windowsOf } from "./windows.ts";

/**
 * W[i] = T_t(i) B[b(i)], i over filters (index [M], base [m, C, h, w]) or over the kernels of single
 * channels (index [M, C], base [m, h, w]). The transforms T are numbered
 *   t = window + windows (transposed + 2 upside down + 4 mirrored + 8 negated)
 * which are applied in this order, and the index is b + m t. A base that is larger than the kernel
 * k x l has (h - k + 1) (w - l + 1) windows, row by row; otherwise there is one.
 */
export const copies = defineForm({
  kind: "copies",
  cite: "Cheng et al. 2017, arXiv 1710.09282, section IV, eq. 5 to 8",
  doc: "W = s T(B[b]), T turns, mirrors or shifts, s = -1 or 1",
  theta: {
    base: learns({ channels: 0, keepsZeros: false }),
    index: integers("int32", 0, 2 ** 16 - 1),
  },
  build: (g, { base, index }, shape) => g.Gather(bankOf(g, base, shape), index, { axis: 0 }),
  examples: [
    { shape: [5, 2, 3, 3], theta: { base: [2, 2, 3, 3], index: [5] } },
    { shape: [5, 2, 3, 3], theta: { base: [2, 2, 4, 4], index: [5] } },
    { shape: [5, 4, 3, 3], theta: { base: [2, 4, 4], index: [5, 4] } },
  ],
});

/** Every base filter under every transform: [m transforms, .., k, k]. */
function bankOf(g: Builder, base: Value, shape: Shape): Value {
  const dims = base.shape as Shape;
  const [k, l] = shape.slice(-2);
  if (k !== l) throw new Error("a kernel that is not square has no transposed copy");
  const axes = dims.map((_, axis) => axis);
  const middle = axes.slice(1, -2);
  const last = axes.length - 1;
  let bank = base;
  if (dims[last] !== k || dims[last - 1] !== k) {
    // [m, .., rows, k, columns, k] -> [rows, columns, m, .., k, k]
    const perm = [last - 1, last + 1, 0, ...middle, last, last + 2];
    const inner = g.ints([-1, ...dims.slice(1, -2), k, k], "shape");
    bank = g.Reshape(g.Transpose(windowsOf(g, base, shape), { perm }), inner);
  }
  const both = (x: Value, y: Value): Value => g.Concat(x, y, { axis: 0 });
  const reversed = reversal(g, shape);
  bank = both(bank, g.Transpose(bank, { perm: [0, ...middle, last, last - 1] }));
  bank = both(bank, g.Gather(bank, reversed, { axis: -2 }));
  bank = both(bank, g.Gather(bank, reversed, { axis: -1 }));
  return both(bank, g.Neg(bank));
}
