/** @file The evaluation table: which operator has which rule. */
import type { Node } from "../../ir/graph.ts";
import { activations } from "./activation.ts";
import { casts } from "./cast.ts";
import { contrib } from "./contrib.ts";
import { controls } from "./control.ts";
import { convolutions } from "./conv.ts";
import type { EvaluateRule, EvaluateRules } from "./elements.ts";
import { elementwise } from "./elementwise.ts";
import { generators } from "./generate.ts";
import { indexing } from "./indexing.ts";
import { linear } from "./linear.ts";
import { losses } from "./loss.ts";
import { movement } from "./movement.ts";
import { normalizations } from "./normalize.ts";
import { pools } from "./pool.ts";
import { quantized } from "./quant.ts";
import { recurrents } from "./recurrent.ts";
import { reductions } from "./reduce.ts";
import { resizes } from "./resize.ts";

export const evaluateRules = {
  ...activations,
  ...casts,
  ...controls,
  ...convolutions,
  ...elementwise,
  ...generators,
  ...indexing,
  ...linear,
  ...losses,
  ...movement,
  ...normalizations,
  ...pools,
  ...quantized,
  ...recurrents,
  ...reductions,
  ...resizes,
} satisfies EvaluateRules;

const tables: Readonly<Record<string, Readonly<Record<string, EvaluateRule | undefined>>>> = {
  "": evaluateRules,
  "com.microsoft": contrib,
};

/** The evaluation rule of a node; null if its operator has none. */
export function evaluateRuleOf(node: Node): EvaluateRule | null {
  const table = Object.hasOwn(tables, node.domain) ? tables[node.domain] : {};
  return Object.hasOwn(table, node.op) ? (table[node.op] ?? null) : null;
}
