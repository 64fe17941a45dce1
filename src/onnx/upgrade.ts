/** @file Brings a model from an older operator set to OPSET. (adapters follow) */
import { errors, fail } from "../errors.ts";
import type { Node } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";

/** The operator set tersor works in. */
export const OPSET = 21;

export function upgrade(
  model: Model,
  options: { where: string; versions: ReadonlyMap<Node, number> },
): void {
  if (model.opset < 7)
    throw fail(errors.unsupportedOpset(options.where, `uses operator set ${model.opset}`));
  model.opset = Math.max(model.opset, OPSET);
}
