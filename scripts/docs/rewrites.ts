/** @file Writes docs/rewrites.md: the lossless rules, in the order in which they are tried. */

import { rules } from "../../src/rewrite/index.ts";
import type { Rule } from "../../src/rewrite/rule.ts";
import { code, page, table } from "./page.ts";

export function rewritesPage(): string {
  return page(
    "# Lossless rewriting",
    "Every recipe starts from the rewritten model. At each node the rules are tried in this order, over and over until none changes anything; outputs stay the same but for rounding (about 1e-6 of their range). A rule that almost applies says why not.",
    table(
      ["rule", "what becomes what", "at operators"],
      rules.map((rule: Rule) => [code(rule.id), rule.doc, rootsOf(rule)]),
    ),
  );
}

function rootsOf(rule: Rule): string {
  if ("sweep" in rule) return "the whole graph";
  return rule.roots === "any" ? "any" : rule.roots.join(", ");
}
