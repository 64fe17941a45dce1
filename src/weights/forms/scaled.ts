/** @file Scaled: a weight times one factor for each index of an axis. */
import { defineForm, learns, type Shape } from "../form.ts";
import { type Composed, composed, leaf, type Weight } from "../weight.ts";

/** W = V f, f with 1 on every axis but one. V is stored in a form of its own, such as a grid. */
export const scaled = defineForm({
  kind: "scaled axis",
  cite: "Lin et al. 2023, AWQ, arXiv 2306.00978, section 3.2",
  doc: "W = V f, a factor for each index of one axis",
  theta: { weight: learns(), factor: learns({ keepsZeros: false }) },
  build: (g, { weight, factor }) => g.Mul(weight, factor),
  examples: [{ shape: [6, 4], theta: { weight: [6, 4], factor: [1, 4] } }],
  elements: "weight",
});

/** V times `factors` along `axis`. */
export function scaledOf(weight: Weight, factors: Float32Array, axis: number): Composed {
  const dims: Shape = weight.shape.map((dim, i) => (i === axis ? dim : 1));
  return composed(scaled, weight.shape, { weight, factor: leaf(factors, dims) });
}
