/** @file The reports of all commands as text for a terminal. */
import { aboutOf } from "../measure/about.ts";
import type { Result } from "../measure/measurement.ts";
import {
  benchColumns,
  type Column,
  dropInterval,
  isNarrow,
  layerColumns,
  starHint,
  surveyColumns,
} from "./columns.ts";
import { familiesText, familyColumns, familyRows, hasFamilies } from "./family-table.ts";
import { skippedLines, thresholdLines, warningLines } from "./findings.ts";
import * as format from "./format.ts";
import { grid, gridWidth } from "./grid.ts";
import { marksText, paperColumns } from "./mark-columns.ts";
import { type BenchRun, type Inspection, type Report, rowsOf } from "./report.ts";
import { joined, type Line, line, paint, span, wrap } from "./span.ts";
import { speedup, speedups, timeNote, unitOf } from "./speed.ts";
import { dropRange, opinionLine, verdict } from "./verdict.ts";

/** The terminal that a table is printed on. */
export interface TableOptions {
  /** Width of the terminal in columns. */
  readonly width: number;
  readonly color: boolean;
}

/** A survey's table shows the marks, and the survey paper's, only on request. */
export interface SurveyTableOptions extends TableOptions {
  readonly marks?: boolean | undefined;
}

/**
 * The columns that are left out on a narrow terminal, in this order. Some steps put one narrow
 * column in the place of others: four letters for the columns of marks, "=" for "no difference".
 */
const surveyNarrowing = [
  { drop: ["family"] },
  { drop: ["train", "train95"] },
  { drop: ["own", "own95"] },
  { drop: ["beta"] },
  { drop: ["saved"] },
  { drop: ["alphaParams"] },
  { drop: ["params"] },
  { drop: ["nonzeros"] },
  { drop: ["size", "speed", "ease", "performance"], add: ["marks"] },
  { drop: ["speedup"], add: ["speedupShort"] },
  { drop: ["drop95"] },
  { drop: ["flips"] },
  { drop: ["brotli"] },
  { drop: ["packed"] },
  { drop: ["metric"] },
  { drop: ["ms"] },
  { drop: ["alpha"] },
  { drop: ["speedup95"] },
  { drop: ["speedupShort"] },
  { drop: ["marks"] },
  { drop: ["star"] },
] as const;
const layerNarrowing = [
  { drop: ["params"] },
  { drop: ["macs"] },
  { drop: ["shape"] },
  { drop: ["op"] },
  { drop: ["ms"] },
  { drop: ["bytes"] },
  { drop: ["macsShare"] },
];
const familyNarrowing = [{ drop: ["start"] }, { drop: ["needs"] }, { drop: ["layers"] }];
const benchNarrowing = [
  { drop: ["batch"] },
  { drop: ["threads"] },
  { drop: ["runtime"] },
  { drop: ["n"] },
  { drop: ["bytes"] },
  { drop: ["p90"] },
  { drop: ["ratio", "ci95"] },
];

/** A step of making a table narrower: ids of columns to leave out and to add. */
interface Narrowing {
  readonly drop: readonly string[];
  readonly add?: readonly string[];
}

/**
 * The columns that fit into `width`, after as many steps of `narrowing` as that takes. `flexible`
 * is the id of the column that may wrap.
 */
function narrowed<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  flexible: string,
  narrowing: readonly Narrowing[],
  width: number,
): Column<Row>[] {
  let shown = columns.filter((column) => !isNarrow(column));
  const comfortable = Math.max(24, Math.floor(width * 0.3));
  for (const step of narrowing) {
    const cells = rows.map((row) => shown.map((column) => column.cell(row)));
    if (gridWidth(asGrid(shown, flexible), cells, comfortable) <= width) break;
    const kept = new Set(shown.map((column) => column.id).filter((id) => !step.drop.includes(id)));
    for (const id of step.add ?? []) kept.add(id);
    shown = columns.filter((column) => kept.has(column.id));
  }
  return shown;
}

function asGrid<Row>(columns: readonly Column<Row>[], flexible: string) {
  return columns.map((column) => ({ ...column, flexible: column.id === flexible }));
}

/** The line broken into painted lines of the terminal's width. */
function paragraph(parts: Line, { width, color }: TableOptions, indent = ""): string[] {
  return wrap(parts, width, indent).map((text) => paint(text, color));
}

/** The survey's table, best row first; below it the skips, the warnings and the verdict. */
export function surveyTable(report: Report, options: SurveyTableOptions): string {
  const rows = rowsOf(report);
  const marks = options.marks ? paperColumns(report, rows) : [];
  const all = [...surveyColumns(report, rows), ...marks];
  const columns = narrowed(all, rows, "recipe", surveyNarrowing, options.width);
  const shown = columns.map((column) => column.id);
  const { picks, notes } = verdict(report);
  const lines = (parts: readonly Line[]) => parts.flatMap((text) => paragraph(text, options, "  "));
  const bullets = (parts: readonly Line[]) => lines(parts.map((text) => line("- ", ...text)));
  const section = (title: string, text: readonly string[]) =>
    text.length ? ["", paint(line(span(title, "bold")), options.color), ...text] : [];
  return [
    ...grid(
      asGrid(columns, "recipe"),
      rows.map((row) => columns.map((column) => column.cell(row))),
      options,
    ),
    ...lines(notesOn(report, shown)),
    ...section("Skipped", bullets(capped(skippedLines(rows)))),
    ...section("Warnings", bullets(capped(warningLines(rows)))),
    ...(options.marks ? section("Marks", lines(legend(report, shown))) : []),
    ...(options.marks && hasFamilies(report) ? section("Families", families(report, options)) : []),
    ...section("Verdict", [...paragraph(joined(picks), options), ...bullets(notes)]),
  ].join("\n");
}

/** The first `most` lines, and a line with the number of the others. */
function capped(lines: readonly Line[], most = 8): Line[] {
  const rest = lines.length - most;
  return rest > 1 ? [...lines.slice(0, most), line(`${rest} more, all in --json`)] : [...lines];
}

/** What the columns and signs that are shown mean. */
function notesOn(report: Report, shown: readonly string[]): Line[] {
  const { latency } = report.baseline;
  const isShort = shown.includes("speedupShort");
  const hasTimes = isShort || shown.includes("ms") || shown.includes("speedup");
  const note =
    latency && hasTimes ? `${timeNote(latency)}${isShort ? ' "=" means the same.' : ""}` : "";
  return [
    ...(shown.includes("star") ? [line(span(starHint(report), "dim"))] : []),
    ...(note ? [line(span(note, "dim"))] : []),
  ];
}

/** The survey's property table, and what it is. */
function families(report: Report, options: TableOptions): string[] {
  const rows = familyRows(report);
  const columns = narrowed(familyColumns(report), rows, "best", familyNarrowing, options.width);
  const cells = rows.map((row) => columns.map((column) => column.cell(row)));
  return [
    ...grid(asGrid(columns, "best"), cells, options),
    ...paragraph(line(span(familiesText, "dim")), options, "  "),
  ];
}

/** What the marks mean, and where the survey paper's differ. */
function legend(report: Report, shown: readonly string[]): Line[] {
  const held = opinionLine(report);
  const letters =
    "The four letters of a row stand for size, speed, ease and performance; the paper's marks are shown where they differ.";
  return [
    line(marksText),
    ...(shown.includes("marks") ? [line(letters)] : []),
    ...thresholdLines(report).map(({ name, rule }) => line(span(name, "bold"), ` ${rule}`)),
    ...(held ? [held] : []),
  ];
}

/** The table of `tersor inspect`: bytes, MACs and time of each layer, with the totals below. */
export function layerTable({ model, totals, layers }: Inspection, options: TableOptions): string {
  const all = layerColumns(layers, totals.clock);
  const columns = narrowed(all, layers, "name", layerNarrowing, options.width);
  const ports = (list: Inspection["model"]["inputs"]) =>
    list
      .map((port) => `${port.name} ${port.dtype}[${port.shape.map((d) => d ?? "?").join(",")}]`)
      .join(", ");
  const facts = line(
    span(model.name, "bold"),
    `: ${format.bytes(model.bytes)}, ${format.count(model.params)} parameters, ${format.quantity(totals.macs)} MACs, opset ${model.opset}; ${ports(model.inputs)} -> ${ports(model.outputs)}`,
  );
  const sum = [
    format.plural(totals.layers, "layer"),
    `${format.count(totals.params)} parameters`,
    format.bytes(totals.bytes),
    ...(totals.macs === null ? [] : [`${format.quantity(totals.macs)} MACs`]),
    ...(totals.ms === null ? [] : [totalTime(totals)]),
  ];
  return [
    ...paragraph(facts, options, "  "),
    "",
    ...grid(
      asGrid(columns, "name"),
      layers.map((row) => columns.map((column) => column.cell(row))),
      options,
    ),
    "",
    ...paragraph(line(span("total ", "bold"), sum.join(", ")), options, "  "),
  ].join("\n");
}

/** "0.216 CPU ms, median of single runs, 1 thread". */
function totalTime({ ms, clock, threads }: Inspection["totals"]): string {
  const engine = threads === null ? "" : `, ${format.plural(threads, "thread")}`;
  return `${format.milliseconds(ms)} ${unitOf(clock)}, median of single runs${engine}`;
}

/** The table of `tersor bench`; speed-ups are relative to the first file. */
export function benchTable(runs: readonly BenchRun[], options: TableOptions): string {
  const columns = narrowed(benchColumns(runs), runs, "file", benchNarrowing, options.width);
  const rows = runs.map((run) => columns.map((column) => column.cell(run)));
  const table = grid(asGrid(columns, "file"), rows, options);
  return [...table, ...benchNotes(runs).flatMap((note) => paragraph(line(note), options))].join(
    "\n",
  );
}

/** What the columns of times hold; a list of one sentence. */
export const benchNotes = ([first]: readonly BenchRun[]): string[] =>
  first?.latency ? [timeNote(first.latency, "the first file")] : [];

/** The table of `tersor eval`: one quantity per line. */
export function evalTable(result: Result, options: TableOptions): string {
  const rows = evalRows(result).map(([name, value]) => [line(name), line(span(value, "bold"))]);
  const columns = [
    { title: result.recipe, align: "left" },
    { title: "", align: "left", flexible: true },
  ] as const;
  return grid(columns, rows, options).join("\n");
}

/** [name, value] of each quantity that was measured, as text. */
export function evalRows(result: Result): [string, string][] {
  const { metric, bytes, params, nonzeros, latency, delta } = result;
  const { dropUnit, digits } = metric ? aboutOf(metric) : { dropUnit: "", digits: 2 };
  const rows: [string, string | null][] = [
    ["file", format.bytes(bytes.raw)],
    ["parameters", `${format.count(params)} (${format.count(nonzeros)} not zero)`],
    [metric?.name ?? "metric", metric && format.score(metric)],
    [
      "95 % interval",
      metric?.ci95 ? metric.ci95.map((n) => format.fixed(n, digits)).join(" to ") : null,
    ],
    ["original", metric?.baseline == null ? null : format.metricValue(metric, metric.baseline)],
    ["drop", metric?.drop == null ? null : `${format.points(metric.drop, digits)} ${dropUnit}`],
    ["in words", metric?.words ?? null],
    ["95 % of the drop", metric?.dropCi95 ? dropInterval(metric.dropCi95, digits) : null],
    ["flips", metric?.flips == null ? null : `${format.fixed(metric.flips)} %`],
    ["KL", metric?.kl == null ? null : `${format.precise(metric.kl)} nats`],
    ["SQNR", metric?.exact ? "exact" : sqnrText(metric?.sqnr)],
    ["records", metric && format.count(metric.n)],
    [
      "latency",
      latency &&
        `${format.milliseconds(latency.median)} ${unitOf(latency.clock)}, median of single runs (p90 ${format.milliseconds(latency.p90)}), ${format.plural(latency.threads, "thread")}`,
    ],
    ["speed-up", delta.infer === null ? null : speedup(delta.infer, delta.ci95.infer)],
  ];
  return rows.flatMap(([name, value]) => (value === null ? [] : [[name, value.trimEnd()]]));
}

function sqnrText(sqnr: number | null | undefined): string | null {
  return sqnr == null ? null : `${format.fixed(sqnr, 1)} dB`;
}

/**
 * The summary of `compress`: `1.72 MB -> 441 kB (3.9x), 0.420 -> 0.183 CPU ms (2.3x, 2.25-2.36;
 * beyond simplifying: 2.1x, 2.05-2.16), accuracy ...`.
 */
export function resultLine(result: Result, baseline: Result | null = null): string {
  const { bytes, alpha, latency, delta, metric } = result;
  const before = baseline?.bytes.raw ?? bytes.raw * alpha.bytes;
  const parts = [
    `${format.bytes(before)} -> ${format.bytes(bytes.raw)} (${format.ratio(alpha.bytes)})`,
  ];
  if (latency) {
    const from = baseline?.latency ? `${format.milliseconds(baseline.latency.median)} -> ` : "";
    const ms = `${from}${format.milliseconds(latency.median)} ${unitOf(latency.clock)}`;
    parts.push(delta.infer === null ? ms : `${ms} (${speedups(delta)})`);
  }
  if (metric) {
    const { digits } = aboutOf(metric);
    const from = metric.baseline === null ? "" : `${format.fixed(metric.baseline, digits)} -> `;
    const score = format.score(metric);
    const drop = [dropRange(metric), metric.words ?? ""].filter((text) => text !== "").join("; ");
    const flips = metric.flips === null ? "" : `, ${format.fixed(metric.flips)} % flips`;
    parts.push(`${metric.name} ${from}${score}${drop && ` (${drop})`}${flips}`);
  } else parts.push("no quality figure");
  return parts.join(", ");
}
