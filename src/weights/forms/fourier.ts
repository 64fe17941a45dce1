/** @file Fourier: the filters of a convolution, transformed for each frequency of a tile. */
import { defineForm, learns, type Shape } from "../form.ts";
import { columnWaves, type Points, rowWaves } from "../waves.ts";

/**
 * U [T1 / 2, 3 T2, groups, c, n / groups] of filters K [n, c, k1, k2] or K [n, c, k], written as the threes
 * of weights/waves.ts at the conjugate points, as an ONNX convolution does not turn its filters around:
 *   U[f, e] = sum_(p, q) K[p, q] z_f^-p w_e^-q
 * A filter along a line is written into rows of T2 taps first. The file stores K.
 */
export const fourier = defineForm({
  kind: "fourier",
  cite: "Mathieu, Henaff, LeCun 2013, arXiv 1312.5851, section 2",
  doc: "U = F(K) at each frequency, K read backwards",
  theta: { kernel: learns({ channels: 0 }) },
  build(g, { kernel }, shape) {
    const [half, threes, groups, inputs, each] = shape;
    const [, , ...taps] = kernel.shape as Shape;
    const isLine = taps.length === 1;
    const points: Points = { rows: 2 * half, columns: threes / 3, isLine };
    const split = g.Reshape(kernel, g.ints([groups, each, inputs, ...taps], "split"));
    let all = g.Transpose(split, { perm: isLine ? [3, 0, 2, 1] : [3, 4, 0, 2, 1] });
    let [down, across] = taps;
    if (isLine) {
      across = points.columns;
      down = Math.ceil(taps[0] / across);
      const more = down * across - taps[0];
      if (more > 0) all = g.Pad(all, g.ints([0, 0, 0, 0, more, 0, 0, 0], "pads"));
    }
    const back = (count: number) => ({ first: 0, count, step: -1 }) as const;
    const rows = rowWaves(g, points, back(down));
    const a = g.MatMul(rows, g.Reshape(all, g.ints([down, -1], "rows")));
    const columns = columnWaves(g, points, back(across));
    const u = g.MatMul(columns, g.Reshape(a, g.ints([half, 2 * across, -1], "columns")));
    return g.Reshape(u, g.ints(shape, "shape"));
  },
  examples: [
    { shape: [3, 12, 2, 3, 2], theta: { kernel: [4, 3, 3, 2] } },
    { shape: [3, 12, 2, 3, 2], theta: { kernel: [4, 3, 5] } },
    { shape: [3, 12, 2, 3, 2], theta: { kernel: [4, 3, 8] } },
  ],
});
