/** @file Operators that treat all positions of a map alike. */
import type { Node, Value } from "../ir/graph.ts";
import { linearOf } from "./linear.ts";
import { hasTrait } from "./traits.ts";

/**
 * Whether the node computes each position of a map [N, C, h, w] from those around it, by the same rule
 * everywhere: then a part of the map follows from the same part of the inputs, but for its borders.
 */
export function isLocal(node: Node): boolean {
  if (node.subgraphs.length > 0 || node.output.shape?.length !== 4) return false;
  const maps = node.inputs.filter((input) => input && !input.tensor && input.dtype === "float32");
  const isUneven = node.inputs.some((input) => input?.tensor && isSpatial(node, input));
  if (isUneven || maps.some((map) => map?.shape?.length !== 4)) return false;
  if (linearOf(node)) return node.op === "Conv";
  const isWhole = node.output.shape[2] === 1 || hasTrait(node, "rearranges");
  if (node.op === "Concat") return node.int("axis", 1) === 1;
  return hasTrait(node, "separate") && !isWhole;
}

/** Whether a constant that is no kernel, and no number for each channel, differs between positions. */
const isSpatial = (node: Node, { tensor }: Value): boolean =>
  !linearOf(node) &&
  node.op !== "BatchNormalization" &&
  tensor?.shape.slice(-2).some((dim) => dim > 1) === true;
