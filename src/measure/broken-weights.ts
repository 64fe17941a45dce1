/** @file Finds NaN and infinities among a model's weights. */
import { dtypes } from "../ir/dtype.ts";
import type { Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { describeNonFinite, type NonFinite } from "../numeric/finite.ts";
import { biasOf } from "../ops/bias.ts";
import { normInputsOf } from "../ops/norms.ts";
import { weightsOf } from "../ops/weights.ts";

/** So many tensors are named. */
const MOST = 3;

/**
 * A warning that names the constants with values that are not finite; null if there are none. In
 * weights, biases and the scales and shifts of normalizations these are NaN and infinities; in other
 * constants only NaN, because a mask may hold infinities for good reason.
 */
export function brokenWeights(model: Model): string | null {
  const parameters = new Set<Value>(weightsOf(model).map(({ value }) => value));
  const found: { readonly name: string; readonly counts: NonFinite }[] = [];
  for (const graph of model.graph.walk()) {
    for (const node of graph.nodes) {
      for (const index of normInputsOf(node)) parameters.add(node.inputs[index] as Value);
      const bias = biasOf(node);
      if (bias) parameters.add(bias);
    }
    for (const value of graph.constants) {
      const { tensor, name } = value;
      if (!tensor || dtypes[tensor.dtype].kind !== "float") continue;
      const { counts } = tensor;
      const infinite = parameters.has(value) ? counts.infinite : 0;
      if (counts.nan + infinite > 0) found.push({ name, counts: { nan: counts.nan, infinite } });
    }
  }
  if (found.length === 0) return null;
  const named = found
    .slice(0, MOST)
    .map(({ name, counts }) => `"${name}" (${describeNonFinite(counts)})`);
  const more = found.length > MOST ? ` and ${found.length - MOST} more` : "";
  return `weights are not finite: ${named.join(", ")}${more}; no method changes them`;
}
