/** @file tersor methods: all methods by family, one line each; with a name, one of them in full. */
import { errors, fail } from "../errors.ts";
import { methods } from "../node.ts";
import { presets } from "../recipe/presets.ts";
import { simplifyId } from "../recipe/steps.ts";
import { type GridColumn, type GridRow, grid, gridWidth } from "../report/grid.ts";
import { jsonText } from "../report/json.ts";
import {
  type AsCode,
  defaultText,
  isMain,
  mainFirst,
  needsText,
  shortNeeds,
  valuesText,
} from "../report/method-text.ts";
import { familyTitle } from "../report/report.ts";
import { type Line, line, paint, span, wrap } from "../report/span.ts";
import type { TableOptions } from "../report/table.ts";
import { nearest } from "../util/nearest.ts";
import type { Command } from "./command.ts";

type Info = ReturnType<typeof methods>[number];

const simplifySummary =
  "Lossless simplification, with which every recipe begins: outputs stay the same but for rounding. As a recipe of its own it does nothing else.";

export const methodsCommand: Command = {
  name: "methods",
  takes: "[name]",
  summary: "Lists the compression methods and presets; with a name, explains one of them.",
  flags: [],
  examples: ["tersor methods", "tersor methods share-weights", "tersor methods --json"],
  async run(shell, [name]) {
    const all = methods();
    const found = all.find(({ method }) => method === name);
    if (shell.json) {
      if (name !== undefined && !found) throw unknown(name, all);
      const named = Object.entries(presets).map(([preset, { summary }]) => ({ preset, summary }));
      shell.print(jsonText(found ? { methods: [found] } : { methods: all, presets: named }));
      return 0;
    }
    const lines = name === undefined ? overview(all, shell.table) : explain(name, all, shell.table);
    shell.print(lines.join("\n"));
    return 0;
  },
};

function unknown(name: string, all: readonly Info[]) {
  const known = [simplifyId, ...Object.keys(presets), ...all.map(({ method }) => method)];
  return fail(errors.unknownMethod("tersor methods", name, nearest(name, known)));
}

/** A paragraph whose lines begin with `indent`, those after the first also with `hanging`. */
function paragraph(table: TableOptions, parts: Line, indent = "", hanging = ""): string[] {
  const lines = wrap(parts, table.width - indent.length, hanging);
  return lines.map((row) => indent + paint(row, table.color));
}

/**
 * The methods under their families, then the presets. On a wide terminal the options that matter
 * most are in a column of their own.
 */
function overview(all: readonly Info[], table: TableOptions): string[] {
  const families = [...new Set(all.map(({ family }) => family))];
  const row = (id: string, title: string, needs = "", options = ""): Line[] => [
    line("  ", span(id, "code")),
    line(title),
    line(span(needs, "dim")),
    line(span(options, "dim")),
  ];
  const rows: GridRow[] = [
    { heading: "first in every recipe" },
    row(simplifyId, "lossless simplification of the graph"),
    ...families.flatMap((family) => [
      { heading: familyTitle(family) },
      ...all.filter((info) => info.family === family).map((info) => methodRow(row, info)),
    ]),
  ];
  const columns: GridColumn[] = [
    { title: "method", align: "left" },
    { title: "what it is", align: "left", flexible: true },
    { title: "needs", align: "left" },
    { title: "main options", align: "left" },
  ];
  const fits = gridWidth(columns, rows, Number.POSITIVE_INFINITY) <= table.width;
  const count = fits ? columns.length : columns.length - 1;
  const shown = rows.map((cells) => ("heading" in cells ? cells : cells.slice(0, count)));
  const named = Object.entries(presets).map(([id, { summary }]) => row(id, summary).slice(0, 2));
  const presetColumns = [
    { title: "preset", align: "left" },
    { title: "tersor compress --preset", align: "left", flexible: true },
  ] as const;
  const example = all.flatMap(({ survey }) => survey).find((recipe) => recipe.includes(":"));
  const foot = [
    "tersor methods NAME explains one with all its options. Options follow a colon: ",
    span(`--recipe ${example}`, "code"),
  ];
  return [
    ...grid(columns.slice(0, count), shown, table),
    "",
    ...grid(presetColumns, named, table),
    "",
    ...paragraph(table, line(...foot)),
  ];
}

function methodRow(
  row: (id: string, title: string, needs: string, options: string) => Line[],
  info: Info,
): Line[] {
  const main = info.options.filter(isMain).map(({ name }) => name);
  return row(info.method, info.title, shortNeeds(info), main.join(", "));
}

/** One method in full, a preset, or simplification. Throws TersorError "unknown-method". */
function explain(name: string, all: readonly Info[], table: TableOptions): string[] {
  const found = all.find(({ method }) => method === name);
  if (found) return method(found, table);
  if (name === simplifyId)
    return paragraph(table, line(span(name, "bold"), `: ${simplifySummary}`));
  if (!Object.hasOwn(presets, name)) throw unknown(name, all);
  const { summary } = presets[name as keyof typeof presets];
  return [
    ...paragraph(table, line(span(name, "bold"), `: ${summary}`)),
    ...paragraph(table, line("A preset: tersor compress model.onnx --preset ", span(name, "code"))),
  ];
}

const plain: AsCode = (value) => value;

function method(info: Info, table: TableOptions): string[] {
  const facts: [string, string][] = [
    ["family", familyTitle(info.family)],
    ["source", info.cite],
    ["needs", needsText(info, plain)],
    ["in a survey", info.survey.join("  ")],
  ];
  const columns = [
    { title: info.method, align: "left" },
    { title: info.title, align: "left", flexible: true },
  ] as const;
  const rows = facts
    .filter(([, value]) => value !== "")
    .map(([title, value]) => [line(span(title, "dim")), line(value)]);
  const ordered = mainFirst(info.options);
  const main = ordered.filter(isMain);
  const section = (title: string, options: Info["options"]) =>
    options.length === 0
      ? []
      : [
          "",
          paint(line(span(title, "bold")), table.color),
          ...options.flatMap((o) => option(o, table)),
        ];
  return [
    ...grid(columns, rows, table),
    "",
    ...paragraph(table, line(info.summary)),
    ...section(
      main.length > 0 ? "Options that matter most" : "Options",
      main.length > 0 ? main : ordered,
    ),
    ...section("Further options", main.length > 0 ? ordered.slice(main.length) : []),
  ];
}

/** Name, values, default and those worth trying; below it the description. */
function option(info: Info["options"][number], table: TableOptions): string[] {
  const { name, search } = info;
  const values = `${valuesText(info, plain)}; default ${defaultText(info, plain)}`;
  const tries = search.length > 0 && !info.choices ? `; try ${search.join(", ")}` : "";
  const head = line(span(name, "code"), span(`  ${values}${tries}`, "dim"));
  return [
    ...paragraph(table, head, "  ", "    "),
    ...paragraph(table, line(info.description), "      "),
  ];
}
