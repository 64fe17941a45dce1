/** @file Winograd: the 3x3 filters of a convolution, transformed for each position of a tile. */
import { type TileSize, winogradTransforms } from "../../numeric/winograd.ts";
import { defineForm, learns, type Shape } from "../form.ts";

/**
 * U [(m + 2)^2, n, c] = G K G^T of filters K [n, c, 3, 3], the factors of F(m x m, 3x3) with m 2 or 4:
 *   U[(i, j), n, c] = sum_(p, q) G[i, p] G[j, q] K[n, c, p, q]
 * The file stores K, 9 numbers in the place of 16 or 36.
 */
export const winograd = defineForm({
  kind: "winograd",
  cite: "Lavin, Gray 2015, arXiv 1509.09308, section 4.1",
  doc: "U = G K G^T for each tile position",
  theta: { kernel: learns({ channels: 0 }) },
  build(g, { kernel }, shape) {
    const m = (Math.sqrt(shape[0]) - 2) as TileSize;
    const [outputs, inputs] = kernel.shape as Shape;
    const factor = g.constant(twice(winogradTransforms[m].taps, m + 2), {
      shape: [shape[0], 9],
      name: "G",
    });
    const columns = g.Reshape(kernel, g.ints([outputs * inputs, 9], "rows"));
    const u = g.MatMul(factor, g.Transpose(columns, { perm: [1, 0] }));
    return g.Reshape(u, g.ints(shape, "shape"));
  },
  examples: [
    { shape: [16, 3, 2], theta: { kernel: [3, 2, 3, 3] } },
    { shape: [36, 3, 2], theta: { kernel: [3, 2, 3, 3] } },
  ],
});

/** G (x) G [size^2, 9] of G [size, 3]. */
function twice(taps: readonly number[], size: number): Float32Array {
  return Float32Array.from({ length: size * size * 9 }, (_, at) => {
    const [i, j] = [Math.floor(at / 9 / size), Math.floor(at / 9) % size];
    const [p, q] = [Math.floor(at / 3) % 3, at % 3];
    return taps[i * 3 + p] * taps[j * 3 + q];
  });
}
