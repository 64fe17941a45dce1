/** @file Coupling of channels where weights may be stored in forms that cannot lose one. */
import type { Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { type Coupling, couple, type Pin } from "../ops/coupling.ts";
import { weightsOf } from "../ops/weights.ts";
import { isElementwise } from "../weights/elements.ts";
import { readWeight } from "../weights/read.ts";

/**
 * `couple` for models with compressed weights. A form that does not store one number for each
 * weight (a hashed or Kronecker weight) has no part that belongs to a single channel, so all
 * channels of its layer are pinned, with the form's name as the reason.
 */
export function coupleChannels(model: Model): Coupling {
  const fixed = new Map<Value, Pin>();
  for (const { node, value } of weightsOf(model)) {
    const weight = value.tensor ? null : readWeight(value);
    if (!weight?.form || isElementwise(weight)) continue;
    fixed.set(value, { node: node.name, reason: `is stored as ${weight.form.kind}` });
  }
  return couple(model, fixed);
}
