/** @file Finds layers that were quantized for integer kernels but that the engine runs in float. */
import type { Node } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { int8KernelOf, isFloatLayer } from "../ops/int8.ts";
import { hasTrait } from "../ops/traits.ts";
import { weightsOf } from "../ops/weights.ts";
import type { Environment } from "./environment.ts";
import { timeNodes } from "./time-nodes.ts";

/**
 * Names of the layers whose weights come from a DequantizeLinear and that the engine nevertheless
 * runs with a float kernel. Such a layer is small but slower than before: it dequantizes its
 * weights at every run (docs/engine.md, "Quantization"). The list is empty where the engine gives
 * no trace.
 */
export async function unfusedLayers(model: Model, env: Environment): Promise<string[]> {
  const wanted = new Set<Node>();
  for (const { node, value } of weightsOf(model)) {
    const isLayer = int8KernelOf(node)?.kind === "layer";
    if (isLayer && hasTrait(value.producer, "converts")) wanted.add(node);
  }
  if (wanted.size === 0) return [];
  const timed = (await timeNodes(model, env)) ?? [];
  const left = timed.flatMap(({ node, op }) =>
    // A float kernel at a layer with int8 weights: no integer kernel was found for it.
    node && wanted.has(node) && isFloatLayer(op) ? [node.name] : [],
  );
  return [...new Set(left)];
}

/** A warning that names up to five of the layers; null for an empty list. */
export function unfusedWarning(layers: readonly string[]): string | null {
  if (layers.length === 0) return null;
  const shown = layers.slice(0, 5).join(", ");
  const rest = layers.length > 5 ? ` and ${layers.length - 5} more` : "";
  const count = `${layers.length} layer${layers.length > 1 ? "s" : ""}`;
  return `the engine has no integer kernel for ${count} (${shown}${rest}): leave them out with except=`;
}
