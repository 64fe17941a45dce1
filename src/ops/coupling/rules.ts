/** @file The coupling table: which operator has which rule. */
import type { Node } from "../../ir/graph.ts";
import { entryOf } from "../table.ts";
import { couplingElementwise } from "./elementwise.ts";
import { couplingExtent } from "./extent.ts";
import { couplingLayers } from "./layers.ts";
import { couplingMovement } from "./movement.ts";
import { couplingReshape } from "./reshape.ts";
import type { CouplingRule, CouplingRules } from "./rule.ts";

export const couplingRules: CouplingRules = {
  ...couplingElementwise,
  ...couplingMovement,
  ...couplingExtent,
  ...couplingReshape,
  ...couplingLayers,
};

/**
 * The coupling rule of a node; null if its operator has none, in which case nothing
 * around it may shrink.
 */
export function couplingRuleOf(node: Node): CouplingRule | null {
  return entryOf<CouplingRule>(couplingRules, node);
}
