/** @file Gradient rules of all operators that have one, by algebraic kind in grad/. */
import type { Node } from "../ir/graph.ts";
import { activations } from "./grad/activation.ts";
import { convolutions } from "./grad/conv.ts";
import { elementwise } from "./grad/elementwise.ts";
import { products } from "./grad/linear.ts";
import { movements } from "./grad/movement.ts";
import { normalizations } from "./grad/normalize.ts";
import { pools } from "./grad/pool.ts";
import { quantization } from "./grad/quantize.ts";
import { reductions } from "./grad/reduce.ts";
import { resizes } from "./grad/resize.ts";
import type { GradRule, GradRules } from "./grad/rule.ts";
import { scalings } from "./grad/scale.ts";
import { entryOf } from "./table.ts";

export { defaultForms, type Forms } from "./grad/forms.ts";
export type { Gradients, GradNode, GradRule, ManyRule, OneRule } from "./grad/rule.ts";

export const gradRules = {
  ...elementwise,
  ...activations,
  ...products,
  ...movements,
  ...reductions,
  ...convolutions,
  ...pools,
  ...resizes,
  ...normalizations,
  ...scalings,
  ...quantization,
} satisfies GradRules;

/** The gradient rule of a node; null if its operator has none. */
export function gradRuleOf(node: Node): GradRule | null {
  return entryOf<GradRule>(gradRules, node);
}
