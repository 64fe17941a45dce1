/** @file The evaluation table, keyed by operator. */
import type { Node } from "../../ir/graph.ts";
import { activations } from "./activation.ts";
import type { EvaluateRule, EvaluateRules } from "./elements.ts";
import { elementwise } from "./elementwise.ts";
import { movement } from "./movement.ts";

export const evaluateRules = {
  ...activations,
  ...elementwise,
  ...movement,
} satisfies EvaluateRules;

const table: Readonly<Record<string, EvaluateRule | undefined>> = evaluateRules;

export function evaluateRuleOf(node: Node): EvaluateRule | null {
  return node.domain === "" && Object.hasOwn(table, node.op) ? (table[node.op] ?? null) : null;
}
