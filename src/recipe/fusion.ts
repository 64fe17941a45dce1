/** @file Tells which layers were meant for integer kernels and run in float all the same. */
import type { Node } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { weightsOf } from "../ops/weights.ts";
import type { Environment } from "./environment.ts";
import { timeNodes } from "./time-nodes.ts";

/** Kernels that would widen int8 weights anew at every run. */
const floatKernels = new Set(["Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"]);

/**
 * Layers with DequantizeLinear weights for which the engine found no integer kernel (ENGINE, section
 * 3, rule 2): small files, but slower than before. Empty where the engine does not tell.
 */
export async function unfusedLayers(model: Model, env: Environment): Promise<string[]> {
  const wanted = new Set<Node>();
  for (const { node, value } of weightsOf(model)) {
    if (value.producer?.op === "DequantizeLinear" && floatKernels.has(node.op)) wanted.add(node);
  }
  if (wanted.size === 0) return [];
  const timed = (await timeNodes(model, env)) ?? [];
  const left = timed.flatMap(({ node, op }) =>
    node && wanted.has(node) && floatKernels.has(op) ? [node.name] : [],
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
