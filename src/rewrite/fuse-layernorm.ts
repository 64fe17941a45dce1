/** @file Replaces a layer normalization that is written in reductions by LayerNormalization. */
import type { Value } from "../ir/graph.ts";
import { intsOf, isFoldable, rankOf } from "./constants.ts";
import { either, match, op, opWith } from "./match.ts";
import { defineRule } from "./rule.ts";

const kept = { keepdims: 1 };

/**
 * (x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon) * scale + bias (Ba et al. 2016, arXiv
 * 1607.06450)
 */
const centred = op("Sub", "x", opWith("ReduceMean", kept, "x", "axes"));
const variance = opWith(
  "ReduceMean",
  kept,
  either(op("Pow", centred, 2), op("Mul", centred, centred)),
  "axes2",
);
const deviation = op("Sqrt", op("Add", variance, "#epsilon"));
const normalized = op("Div", centred, deviation);
const withBias = op("Add", op("Mul", normalized, "scale"), "bias");

export const fuseLayerNorm = defineRule({
  id: "fuse-layernorm",
  doc: "ReduceMean, Sub, Pow, ReduceMean, Add, Sqrt, Div, Mul, Add -> LayerNormalization",
  roots: ["Add"],
  apply(node, g) {
    const found = match(withBias, node);
    if (!found) return null;
    const { x, axes, axes2, scale, bias, "#epsilon": epsilon } = found;
    const first = lastAxes(axes, rankOf(x));
    if (first === null || first !== lastAxes(axes2, rankOf(x))) return null;
    if (!isFoldable(scale.tensor) || !isFoldable(bias.tensor)) return null;
    const shape = scale.tensor.shape;
    if (shape.length !== -first || shape.join() !== bias.tensor.shape.join()) return null;
    // A single number would be broadcast along the axes, which LayerNormalization does not do.
    if (scale.tensor.size === 1 && x.shape?.at(-1) !== 1) return null;
    return g.LayerNormalization(x, scale, bias, { axis: first, epsilon });
  },
});

/** The axis, counted from the end, from which all axes are reduced; null for other sets. */
function lastAxes(axes: Value, rank: number | undefined): number | null {
  const list = intsOf(axes)?.map((axis) => (axis < 0 ? axis : axis - (rank ?? Number.NaN)));
  if (!list || list.length === 0) return null;
  const sorted = [...list].sort((a, b) => a - b);
  return sorted.every((axis, i) => axis === i - sorted.length) ? sorted[0] : null;
}
