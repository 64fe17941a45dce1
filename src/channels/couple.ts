/** @file Which channels go together, where weights may be stored in forms that none can be cut out of. */
import type { Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { type Coupling, couple, type Pin } from "../ops/coupling.ts";
import { weightsOf } from "../ops/weights.ts";
import { isElementwise } from "../weights/elements.ts";
import { readWeight } from "../weights/read.ts";

/** A form without an element for each of W's has no channel of its own; its layer keeps all of them. */
export function coupleChannels(model: Model): Coupling {
  const fixed = new Map<Value, Pin>();
  for (const { node, value } of weightsOf(model)) {
    const weight = value.tensor ? null : readWeight(value);
    if (!weight?.form || isElementwise(weight)) continue;
    fixed.set(value, { node: node.name, reason: `is stored as ${weight.form.kind}` });
  }
  return couple(model, fixed);
}
