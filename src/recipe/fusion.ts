/** @file Tells which layers were meant for integer kernels and run in float all the same. */
import type { Node } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { int8KernelOf, isFloatLayer } from "../ops/int8.ts";
import { hasTrait } from "../ops/traits.ts";
import { weightsOf } from "../ops/weights.ts";
import type { Environment } from "./environment.ts";
import { timeNodes } from "./time-nodes.ts";

/**
 * Layers with DequantizeLinear weights for which the engine found no integer kernel (ENGINE, section
 * 3, rule 2): small files, but slower than before. Empty where the engine does not tell.
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
    // Such a kernel widens int8 weights anew at every run.
    node && wanted.has(node) && isFloatLayer(op) ? [node.name] : [],
  );
  return [...new Set(left)];
}

/** In words, for the report; null where all is well. */
export function unfusedWarning(layers: readonly string[]): string | null {
  if (layers.length === 0) return null;
  const shown = layers.slice(0, 5).join(", ");
  const rest = layers.length > 5 ? ` and ${layers.length - 5} more` : "";
  const count = `${layers.length} layer${layers.length > 1 ? "s" : ""}`;
  return `the engine has no integer kernel for ${count} (${shown}${rest}): leave them out with except=`;
}
