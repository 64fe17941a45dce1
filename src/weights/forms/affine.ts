/** @file Affine: whole numbers times a scale, plus an offset, each per channel or per block. */
import { defineForm, integers, learns } from "../form.ts";

/**
 * W = s q + m. Scale and offset are laid out as the scale of a grid. No level stands for 0, so the
 * form has no elements that could be pruned.
 */
export const affine = defineForm({
  kind: "grid with offsets",
  cite: "Jacob et al. 2018, arXiv 1712.05877, eq. 1; the k-quants of llama.cpp (ggml-quants.c)",
  doc: "W = s q + m, q whole numbers",
  theta: {
    levels: integers("float32", 0, 255),
    scale: learns({ keepsZeros: false }),
    offset: learns({ keepsZeros: false }),
  },
  build(g, { levels, scale, offset }, shape) {
    const sum = g.Add(g.Mul(levels, scale), offset);
    const isWhole = levels.shape?.join() === shape.join();
    return isWhole ? sum : g.Reshape(sum, g.ints(shape, "shape"));
  },
  examples: [
    { shape: [6, 4], theta: { levels: [6, 4], scale: [6, 1], offset: [6, 1] } },
    { shape: [6, 4], theta: { levels: [6, 2, 2], scale: [6, 2, 1], offset: [6, 2, 1] } },
  ],
});
