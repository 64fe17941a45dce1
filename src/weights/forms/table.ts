/** @file Table: every weight is an entry of a fixed table times a scale per block. */
import { defineForm, fixed, integers, learns } from "../form.ts";

/**
 * W = s t[i]. Scales are laid out as those of a grid. Entry 0 is 0, so that pruned weights can be
 * left out of the file.
 */
export const table = defineForm({
  kind: "scaled table",
  cite: "Dettmers et al. 2023, QLoRA, arXiv 2305.14314, section 3",
  doc: "W = s t[i], t a fixed table",
  theta: {
    table: fixed(),
    index: integers("int32", 0, 2 ** 16 - 1),
    scale: learns({ keepsZeros: false }),
  },
  build(g, { table: t, index, scale }, shape) {
    const scaled = g.Mul(g.Gather(t, index, { axis: 0 }), scale);
    const isWhole = index.shape?.join() === shape.join();
    return isWhole ? scaled : g.Reshape(scaled, g.ints(shape, "shape"));
  },
  examples: [
    { shape: [6, 4], theta: { table: [5], index: [6, 4], scale: [6, 1] } },
    { shape: [6, 4], theta: { table: [5], index: [6, 2, 2], scale: [6, 2, 1] } },
  ],
  elements: "index",
});
