/** @file The reports of all commands in Markdown, for pull requests and READMEs. */
import type { ClockKind } from "../measure/clock.ts";
import type { Result } from "../measure/measurement.ts";
import {
  benchColumns,
  type Column,
  cellText,
  isNarrow,
  layerColumns,
  starHint,
  surveyColumns,
} from "./columns.ts";
import { familiesText, familyColumns, familyRows, hasFamilies } from "./family-table.ts";
import { skippedLines, thresholdLines, warningLines } from "./findings.ts";
import * as format from "./format.ts";
import { marksText, paperColumns } from "./mark-columns.ts";
import { type BenchRun, type Inspection, type Layer, type Report, rowsOf } from "./report.ts";
import type { Line } from "./span.ts";
import { timeNote } from "./speed.ts";
import { benchNotes, evalRows } from "./table.ts";
import { opinionLine, verdict } from "./verdict.ts";

/**
 * Escapes text so that Markdown shows it as it is. Names come from model files, which may be
 * hostile; without this they could add markup or table cells.
 */
export function escapeMarkdown(text: string): string {
  return format
    .printable(text)
    .replace(/[\\`*_{}[\]|~]/g, "\\$&")
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/>/g, "&gt;");
}

/** Inline code. The fence has one backtick more than the longest run of backticks in the text. */
function code(text: string): string {
  const fence = "`".repeat(Math.max(0, ...[...text.matchAll(/`+/g)].map((m) => m[0].length)) + 1);
  const pad = text.startsWith("`") || text.endsWith("`") ? " " : "";
  return `${fence}${pad}${text.replaceAll("|", "\\|")}${pad}${fence}`;
}

/** A line of spans as Markdown; tones other than "code" and "bold" are left out. */
function prose(parts: Line): string {
  return parts
    .map(({ text, tone }) => {
      if (tone === "code") return code(text);
      return tone === "bold" ? `**${escapeMarkdown(text)}**` : escapeMarkdown(text);
    })
    .join("");
}

/** A Markdown table with padded cells, so that its source is readable too. */
export function table(
  header: readonly string[],
  align: readonly ("left" | "right")[],
  rows: readonly (readonly string[])[],
): string {
  const widths = header.map((title, i) =>
    Math.max(3, ...[title, ...rows.map((row) => row[i])].map(format.displayWidth)),
  );
  const row = (cells: readonly string[]) => {
    const padded = cells.map((cell, i) => {
      const space = " ".repeat(widths[i] - format.displayWidth(cell));
      return align[i] === "right" ? space + cell : cell + space;
    });
    return `| ${padded.join(" | ")} |`;
  };
  const rule = widths.map((w, i) =>
    align[i] === "right" ? `${"-".repeat(w - 1)}:` : "-".repeat(w),
  );
  return [header, rule, ...rows].map(row).join("\n");
}

/** A table of `columns`; those whose ids are in `names` are shown as code. */
function columnTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  names: readonly string[],
): string {
  return table(
    columns.map((column) => escapeMarkdown(column.title.trim())),
    columns.map((column) => column.align),
    rows.map((row) =>
      columns.map((column) => {
        const text = cellText(column, row);
        return names.includes(column.id) ? code(text) : escapeMarkdown(text.trim());
      }),
    ),
  );
}

/**
 * The whole report of a survey: verdict, table, layers, skips, warnings, marks, command line.
 */
export function surveyMarkdown(report: Report): string {
  const rows = rowsOf(report);
  const columns = surveyColumns(report, rows).filter((column) => !isNarrow(column));
  const marks = paperColumns(report, rows).filter((column) => !isNarrow(column));
  const recipe = columns.filter((column) => column.id === "recipe");
  const rules = thresholdLines(report).map(
    ({ name, rule }) => `- **${name}** ${escapeMarkdown(rule)}`,
  );
  const held = opinionLine(report);
  const { picks, notes } = verdict(report);
  const bullets = (lines: readonly Line[]) => lines.map((text) => `- ${prose(text)}`).join("\n");
  const section = (title: string, body: string) => (body ? `## ${title}\n\n${body}` : "");
  return `${[
    `# ${escapeMarkdown(report.model.name)}: ${escapeMarkdown(report.command)}`,
    picks.map(prose).join(" "),
    bullets(notes),
    section("Results", columnTable(columns, rows, ["recipe"])),
    report.baseline.latency ? escapeMarkdown(timeNote(report.baseline.latency)) : "",
    columns.some((column) => column.id === "star") ? `${starHint(report)}.` : "",
    section("Layers", layerMarkdown(report.layers, report.baseline.latency?.clock ?? null)),
    section("Skipped", bullets(skippedLines(rows))),
    section("Warnings", bullets(warningLines(rows))),
    section(
      "Beside the survey paper",
      [
        escapeMarkdown(marksText),
        columnTable([...recipe, ...marks], rows, ["recipe"]),
        rules.join("\n"),
        ...(held ? [prose(held)] : []),
      ].join("\n\n"),
    ),
    section("Families", hasFamilies(report) ? families(report) : ""),
    section("Reproduce", reproduce(report)),
  ]
    .filter(Boolean)
    .join("\n\n")}\n`;
}

/** The survey's property table. */
function families(report: Report): string {
  const rows = columnTable(familyColumns(report), familyRows(report), []);
  return `${escapeMarkdown(familiesText)}\n\n${rows}`;
}

/** The command line and the machine, versions, seed and model that it ran with. */
function reproduce({ baseline, commandLine, platform, model, date, seconds }: Report): string {
  const versions = Object.entries(baseline.versions).map(([name, v]) => `${name} ${v}`);
  return [
    code(format.printable(commandLine)),
    "",
    escapeMarkdown(
      [
        platform,
        ...versions,
        `seed ${baseline.seed}`,
        model.hash,
        date,
        format.duration(seconds),
      ].join(", "),
    ),
  ].join("\n");
}

/** The table of layers; times are in milliseconds by `clock`. */
export function layerMarkdown(layers: readonly Layer[], clock: ClockKind | null): string {
  return layers.length ? columnTable(layerColumns(layers, clock), layers, ["name"]) : "";
}

export function inspectMarkdown({ model, totals, layers }: Inspection): string {
  return `# ${escapeMarkdown(model.name)}\n\n${layerMarkdown(layers, totals.clock)}\n`;
}

export function benchMarkdown(runs: readonly BenchRun[]): string {
  const table = columnTable(benchColumns(runs), runs, ["file"]);
  return `${[table, ...benchNotes(runs).map(escapeMarkdown)].join("\n\n")}\n`;
}

export function evalMarkdown(result: Result): string {
  const rows = evalRows(result).map((row) => row.map(escapeMarkdown));
  return `${table([code(format.printable(result.recipe)), ""], ["left", "right"], rows)}\n`;
}
