/** @file Sketch: a sum of binary tensors, each with a scale per channel. */
import { defineForm, integers, learns } from "../form.ts";

/**
 * W = sum_k a_k B_k with signs B [K, ...shape of W] and scales a [K, ...1 on all axes but that of the
 * channels].
 */
export const sketch = defineForm({
  kind: "sketch",
  cite: "Guo et al. 2017, arXiv 1706.02021, section 3",
  doc: "W = sum_k a_k B_k, B_k of -1 and +1",
  theta: { signs: integers("float32", -1, 1), scales: learns({ keepsZeros: false }) },
  build: (g, { signs, scales }) => g.ReduceSum(g.Mul(signs, scales), g.ints([0]), { keepdims: 0 }),
  examples: [{ shape: [6, 4], theta: { signs: [2, 6, 4], scales: [2, 6, 1] } }],
});
