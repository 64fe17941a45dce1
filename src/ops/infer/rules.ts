/** @file The shape table: which operator has which rule. */

import type { Node } from "../../ir/graph.ts";
import { inferContrib, inferUnlisted } from "./contrib.ts";
import { inferControl } from "./control.ts";
import type { InferRule, InferRules } from "./dims.ts";
import { inferElementwise } from "./elementwise.ts";
import { inferMovement } from "./movement.ts";
import { inferNn } from "./nn.ts";
import { inferReduce } from "./reduce.ts";

export const inferRules: InferRules = {
  ...inferElementwise,
  ...inferMovement,
  ...inferNn,
  ...inferReduce,
  ...inferControl,
};

const tables: Readonly<Record<string, Readonly<Record<string, InferRule | undefined>>>> = {
  "": { ...inferUnlisted, ...inferRules },
  "com.microsoft": inferContrib,
};

/** The shape rule of a node; null if its operator has none. */
export function inferRuleOf(node: Node): InferRule | null {
  const table = Object.hasOwn(tables, node.domain) ? tables[node.domain] : {};
  return Object.hasOwn(table, node.op) ? (table[node.op] ?? null) : null;
}
