/** @file The table of `tersor inspect --sensitivity`, and the recipes without the worst layers. */
import { aboutOf } from "../measure/about.ts";
import * as format from "./format.ts";
import { type GridColumn, grid } from "./grid.ts";
import type { Damage, LayerDamage, RecipeSensitivity, Sensitivity } from "./report.ts";
import { type Line, line, paint, span, wrap } from "./span.ts";
import type { TableOptions } from "./table.ts";

/** Cells of the longest bar, which stands for a share of 1. */
const longest = 6;
/** Bars that end within a cell, in eighths of it. */
const eighths = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/** The quantity beside the SQNR: the metric's drop, without labels flips, without classes none. */
export interface Second {
  /** What it is, with its unit, and in a word. */
  readonly name: string;
  readonly word: string;
  text(damage: Damage): string;
}

/**
 * One row per layer and one column per recipe, the most sensitive layer first; below it, for each
 * recipe, the layers that cause half of its noise and the recipe without them.
 */
export function sensitivityTable(found: Sensitivity, options: TableOptions): string {
  const { layers, recipes, records } = found;
  const second = secondOf(found);
  const columns: GridColumn[] = [
    { title: "layer", align: "left", flexible: true },
    { title: "op", align: "left" },
    ...recipes.map(({ recipe }): GridColumn => ({ title: recipe, align: "right" })),
  ];
  // Figures of one column have one width, so that its bars begin below each other.
  const cells = recipes.map((_, r) =>
    cellsOf(
      layers.map((layer) => layer.recipes[r]),
      second,
    ),
  );
  const rows = layers.map(({ name, op }, i) => [
    line(name),
    line(op),
    ...cells.map((column) => column[i]),
  ]);
  const paragraph = (parts: Line, indent = "  ") =>
    wrap(parts, options.width, indent).map((text) => paint(text, options.color));
  const quantities = ["SQNR of the outputs in dB (low is bad)", ...(second ? [second.name] : [])];
  const note = `Each layer compressed alone, on ${format.plural(records, "record")}: ${quantities.join(", ")}, and as a bar its share of the noise 10^(-SQNR/10) of all layers.`;
  return [
    paint(line(span("Sensitivity", "bold")), options.color),
    ...grid(columns, rows, options),
    ...paragraph(line(span(note, "dim"))),
    ...recipes.flatMap((recipe) => adviceLines(recipe, second, paragraph)),
  ].join("\n");
}

export function secondOf({ layers, metric, about }: Sensitivity): Second | null {
  const all = layers.flatMap(({ recipes }) => recipes.flatMap(({ damage }) => damage ?? []));
  if (metric !== null && all.some(({ drop }) => drop !== null)) {
    const { dropUnit: unit, digits } = aboutOf({ name: metric, ...(about && { about }) });
    const name = `drop of the ${metric}${unit ? ` in ${unit}` : ""}`;
    return { name, word: "drop", text: ({ drop }) => format.points(drop, digits) };
  }
  if (!all.some(({ flips }) => flips !== null)) return null;
  const text = ({ flips }: Damage) => `${format.fixed(flips)} %`;
  return { name: "changed predictions", word: "changed", text };
}

function cellsOf(column: readonly LayerDamage[], second: Second | null): Line[] {
  const texts = column.map(({ damage }) => damage && (second?.text(damage) ?? ""));
  const width = Math.max(0, ...texts.map((text) => text?.length ?? 0));
  return column.map(({ damage, share }, i) => {
    if (!damage) return line(span("-", "dim"));
    const parts = [sqnrText(damage), texts[i]?.padStart(width), bar(share).padEnd(longest)];
    return line(parts.filter(Boolean).join("  "));
  });
}

export function sqnrText({ sqnr }: Damage): string {
  if (sqnr === Number.POSITIVE_INFINITY) return "exact";
  if (sqnr === Number.NEGATIVE_INFINITY) return "broken";
  return format.fixed(sqnr, 1);
}

/** A share 0..1 as a bar of block characters; the least that is not 0 is an eighth of a cell. */
export function bar(share: number): string {
  const parts = Math.round(Math.min(1, share) * longest * 8);
  const shown = share > 0 ? Math.max(1, parts) : 0;
  return "█".repeat(shown >> 3) + eighths[shown & 7];
}

/** Which layers cause half of the noise, what leaving them out gives, and the recipe to copy. */
function adviceLines(
  found: RecipeSensitivity,
  second: Second | null,
  paragraph: (parts: Line) => string[],
): string[] {
  const text = paragraph(adviceText(found, second));
  return hasAdvice(found) ? ["", ...text, `  ${found.advice}`] : ["", ...text];
}

/** Whether there are layers that are better left out. */
export const hasAdvice = ({ all, except }: RecipeSensitivity): boolean =>
  all !== null && except.length > 0;

/** The layers that cause half of the noise, and what leaving them out gives, behind the recipe. */
export function adviceText(
  { recipe, all, except, share, rest }: RecipeSensitivity,
  second: Second | null,
): Line {
  const title = span(recipe, "bold");
  if (!all || except.length === 0) return line(title, ": no layer's outputs change.");
  const layers = `${format.plural(except.length, "layer")} of the most noise`;
  const have = except.length === 1 ? "has" : "have";
  const told = (damage: Damage) =>
    [`${sqnrText(damage)} dB`, ...(second ? [`${second.word} ${second.text(damage)}`] : [])].join(
      ", ",
    );
  const saves = (damage: Damage) => `${format.bytes(damage.saved)} saved`;
  const without = rest ? `; without: ${told(rest)}, ${saves(rest)}` : "";
  const text = `: the ${layers} ${have} ${format.percent(share, 0)} of it. All layers: ${told(all)}, ${saves(all)}${without}.`;
  return line(title, text);
}
