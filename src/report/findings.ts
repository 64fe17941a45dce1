/** @file Skipped layers and warnings of a survey, grouped and counted; the legend of the marks. */
import { opinionNotes } from "../measure/marks.ts";
import type { Result } from "../measure/measurement.ts";
import * as format from "./format.ts";
import { familyTitle, lossOf, type Report, rowsOf } from "./report.ts";
import { type Line, line, span } from "./span.ts";

/** Nodes that one method skipped for one reason. */
export interface SkipGroup {
  readonly method: string;
  /** The first reason of the group; the others differ from it only in their numbers. */
  readonly reason: string;
  readonly nodes: readonly string[];
  readonly recipes: readonly string[];
}

/** The text with its numbers replaced: texts that differ only in numbers are grouped. */
const kind = (reason: string) => reason.replace(/\d+([.,]\d+)*/g, "#");

/** The skips of all rows by method and kind of reason, the groups with most nodes first. */
export function skipGroups(results: readonly Result[]): SkipGroup[] {
  const groups = new Map<
    string,
    { method: string; reason: string; nodes: Set<string>; recipes: Set<string> }
  >();
  for (const { recipe, skipped } of results)
    for (const { method, reason, node } of skipped) {
      const key = `${method}\n${kind(reason)}`;
      const group = groups.get(key) ?? { method, reason, nodes: new Set(), recipes: new Set() };
      group.nodes.add(node);
      group.recipes.add(recipe);
      groups.set(key, group);
    }
  return [...groups.values()]
    .map((group) => ({ ...group, nodes: [...group.nodes], recipes: [...group.recipes] }))
    .sort((a, b) => b.nodes.length - a.nodes.length);
}

/** A line per group: `factor-svd skipped 4 nodes (conv1, conv2, +2): the rank is too high`. */
export function skippedLines(results: readonly Result[]): Line[] {
  return skipGroups(results).map(({ method, reason, nodes }) => {
    const named = nodes.slice(0, nodes.length > 3 ? 2 : 3).join(", ");
    const more = nodes.length > 3 ? `, +${nodes.length - 2}` : "";
    const count = format.plural(nodes.length, "node");
    return line(span(method, "code"), ` skipped ${count} (${named}${more}): ${reason}`);
  });
}

/** A line per kind of warning: `prune-magnitude > train and 2 others: the warning`. */
export function warningLines(results: readonly Result[]): Line[] {
  const names = format.shortNames(results.map((row) => row.recipe));
  const groups = new Map<string, { warning: string; recipes: Set<string> }>();
  for (const { recipe, warnings } of results)
    for (const warning of warnings) {
      const group = groups.get(kind(warning)) ?? { warning, recipes: new Set() };
      group.recipes.add(recipe);
      groups.set(kind(warning), group);
    }
  return [...groups.values()].map(({ warning, recipes }) => {
    const [first] = recipes;
    const more = recipes.size > 1 ? ` and ${format.plural(recipes.size - 1, "other")}` : "";
    return line(span(names.get(first) ?? first, "code"), `${more}: ${withoutOwn(first, warning)}`);
  });
}

/**
 * The warning without the name of the method in front, where the recipe is a single step: then the
 * recipe's name, printed before it, already says which method it is.
 */
function withoutOwn(recipe: string, warning: string): string {
  const prefix = `${/^[^:>]*/.exec(recipe)?.[0].trim()}: `;
  return !recipe.includes(">") && warning.startsWith(prefix)
    ? warning.slice(prefix.length)
    : warning;
}

/** The rule for each of the four marks, with the thresholds of this report. */
export function thresholdLines(report: Report): { name: string; rule: string }[] {
  const { size, speed, performance, ease } = report.thresholds;
  const loss = lossOf(report);
  const lost = (n: number) => `${n} ${loss?.unit ?? ""}`.trimEnd();
  return [
    { name: "size", rule: `o at least ${size.good}x smaller, △ at least ${size.fair}x, x below` },
    {
      name: "speed",
      rule: `o at least ${speed.good}x the original's speed, △ at least ${speed.fair}x, x slower; no difference counts as 1x`,
    },
    {
      name: "ease",
      rule: `strikes for labelled data, training, over ${format.duration(ease.seconds)}, under ${format.percent(ease.covered, 0)} of the weights covered: o at most ${ease.good}, △ at most ${ease.fair}, x more`,
    },
    {
      name: "performance",
      rule: loss
        ? `o ${loss.name} at most ${lost(performance.good)}, △ at most ${lost(performance.fair)}, x more`
        : "o outputs equal the original's, ? not measured otherwise",
    },
  ];
}

/** The survey's reservations about its marks, for the families that the report has rows of. */
export function opinionLines(report: Report): Line[] {
  const families = new Set(rowsOf(report).map((row) => row.family));
  return Object.entries(opinionNotes)
    .filter(([family]) => families.has(family))
    .map(([family, note]) => line(`the survey on ${familyTitle(family)}: ${note}`));
}
