/** @file The report as one HTML file that loads nothing: verdict, table, plots, conditions. */
import type { GroupChange, Result } from "../measure/measurement.ts";
import { cellText, starHint } from "./columns.ts";
import { familiesText, familyColumns, familyRows, hasFamilies } from "./family-table.ts";
import { opinionLines, skippedLines, thresholdLines, warningLines } from "./findings.ts";
import * as format from "./format.ts";
import { figure, fileName, scrollTable, section, wholePage } from "./html-page.ts";
import { cards, type LinkOf, marksTable, prose, resultsTable } from "./html-results.ts";
import { marksText } from "./mark-columns.ts";
import { breakable, type Child, el, fragment, type Markup } from "./markup.ts";
import { figuresOf } from "./plots.ts";
import { type PrintedTable, printedTables, surveySource } from "./printed.ts";
import { familyTitle, hasQuality, type Port, type Report, rowsOf } from "./report.ts";
import type { Line } from "./span.ts";
import { timeNote } from "./speed.ts";
import { familyClass } from "./svg.ts";
import { opinionLine, verdict } from "./verdict.ts";

/** What the page is told beside the report. */
export interface PageOptions {
  /** The address of a model's file, relative to the page; without it models are not linked. */
  readonly linkOf?: LinkOf | undefined;
}

/** The whole page. It is self-contained: it opens from disk, prints, and makes no request. */
export function htmlReport(report: Report, { linkOf }: PageOptions = {}): string {
  const { model, command, date } = report;
  const { picks, notes } = verdict(report);
  const rows = rowsOf(report);
  const plots = figuresOf(report);
  const best = cards(report, linkOf ?? null);
  // The cards say what the other sentences would.
  const lead = best.length > 0 ? picks.slice(0, 1) : picks;
  return wholePage(
    {
      ...{ title: `${model.name}: tersor ${command}`, command, date },
      ...{ heading: fileName(model.name), subtitle: subtitle(report) },
    },
    el(
      "p",
      { class: "lead" },
      lead.map((sentence, i) => [i ? " " : "", prose(sentence)]),
    ),
    best.length ? el("div", { class: "picks" }, best) : null,
    notes.length
      ? el(
          "ul",
          { class: "notes" },
          notes.map((note) => el("li", {}, prose(note))),
        )
      : null,
    section(
      "Results",
      rows.length > 2 ? controls(rows) : null,
      resultsTable(report, rows, linkOf ?? null),
      rows.length > 2 ? taken(model.name) : null,
      legend(report, rows),
    ),
    plots.pareto.length
      ? section(
          "Quality against size and time",
          families(rows),
          el(
            "div",
            { class: "plots" },
            plots.pareto.map((f) => figure(f)),
          ),
        )
      : null,
    plots.layers.length
      ? section(
          "Layers",
          plots.layers.map((f) => figure(f, "wide")),
        )
      : null,
    plots.training.length
      ? section(
          "Training",
          el(
            "div",
            { class: "plots" },
            plots.training.map((f) => figure(f)),
          ),
        )
      : null,
    report.groups?.length
      ? section("Channels, heads and neurons", groupTable(report.groups))
      : null,
    list("Skipped, and why", skippedLines(rows)),
    list("Warnings", warningLines(rows)),
    besidePaper(report, rows),
    section("Reproduce", reproduce(report)),
  );
}

/** A section with a bullet list; null if there are no lines. */
function list(title: string, lines: readonly Line[]): Markup | null {
  if (!lines.length) return null;
  return section(
    title,
    el(
      "ul",
      { class: "list" },
      lines.map((text) => el("li", {}, prose(text))),
    ),
  );
}

function subtitle({ model, data, baseline, seconds }: Report): string {
  return [
    `${format.bytes(model.bytes)}, ${format.count(model.params)} parameters`,
    ...(model.macs === null ? [] : [`${format.quantity(model.macs)} MACs`]),
    ...(data === null
      ? []
      : [
          `evaluated on ${data}${baseline.metric ? ` (${format.plural(baseline.metric.n, "record")})` : ""}`,
        ]),
    `measured in ${format.duration(seconds)}`,
  ].join(" · ");
}

function legend(report: Report, rows: readonly Result[]): Markup | null {
  const { latency } = report.baseline;
  const parts = [
    ...(latency ? [timeNote(latency)] : []),
    ...(report.pareto.length > 0 ? [`${starHint(report)}.`] : []),
    ...(rows.length > 2 && hasQuality(report) ? ["Rows that keep quality come first."] : []),
    ...(rows.length > 2 ? ["Click a title to sort, draw a rectangle in a plot to pick rows."] : []),
  ];
  return parts.length ? el("p", { class: "dim" }, parts.join(" ")) : null;
}

/** What filters the rows, for the page's script, which shows it. */
function controls(rows: readonly Result[]): Markup {
  const others = [...new Set(rows.slice(1).map(({ family }) => family))];
  return el(
    "div",
    { class: "controls", hidden: "" },
    el("input", { type: "search", placeholder: "filter recipes", "aria-label": "filter recipes" }),
    others.map((family) =>
      el(
        "button",
        { type: "button", "data-family": family, "aria-pressed": "true" },
        familyName(family),
      ),
    ),
    el("output", {}),
    el("button", { type: "button", class: "clear" }, "show all"),
  );
}

/** Where the script writes the recipe of a row. */
function taken(model: string): Markup {
  return el(
    "div",
    { class: "taken", hidden: "", "data-model": model },
    el("p", {}, "As a command, for the data flags of this run; it is in the clipboard:"),
    el("div", { class: "text" }),
    el("p", {}, "As TypeScript:"),
    el("div", { class: "text" }),
  );
}

/** A family's name behind its colour. */
const familyName = (family: string): Markup =>
  fragment(el("span", { class: `dot ${familyClass(family)}` }), familyTitle(family));

/** The colours of the families in the plots. */
function families(rows: readonly Result[]): Markup {
  return el(
    "ul",
    { class: "legend" },
    [...new Set(rows.map((row) => row.family))].map((family) => el("li", {}, familyName(family))),
  );
}

/** The marks of the rows beside those of the survey paper, and tables from it; closed at first. */
function besidePaper(report: Report, rows: readonly Result[]): Markup {
  const held = opinionLine(report);
  const rules = thresholdLines(report).map(({ name, rule }) => [
    el("dt", {}, name),
    el("dd", {}, rule),
  ]);
  const notes = opinionLines(report).map((text) => [
    el("dt", {}, "note"),
    el("dd", {}, prose(text)),
  ]);
  return section(
    "Beside the survey paper",
    rows.length > 1
      ? details(
          "Marks of each row",
          el("p", { class: "dim" }, marksText),
          marksTable(report, rows),
          el("dl", { class: "facts" }, rules, notes),
          held && el("p", {}, prose(held)),
        )
      : null,
    hasFamilies(report) ? propertyTable(report) : null,
    printedTables.map(printed),
    el("p", { class: "dim" }, surveySource),
  );
}

/** The survey's property table, with our marks in it. */
function propertyTable(report: Report): Markup {
  const columns = familyColumns(report);
  const rows = familyRows(report).map((row) => columns.map((column) => cellText(column, row)));
  return details(
    "Families, with our marks",
    el("p", { class: "dim" }, familiesText),
    scrollTable(
      columns.map(({ title }) => title),
      rows,
    ),
  );
}

function details(title: string, ...children: readonly Child[]): Markup {
  return el("details", {}, el("summary", {}, title), ...children);
}

function printed({ title, note, header, rows }: PrintedTable): Markup {
  return details(title, el("p", { class: "dim" }, note), scrollTable(header, rows));
}

/** Structured pruning, group by group: the channels before and after, and the reason. */
function groupTable(groups: readonly GroupChange[]): Markup {
  const header = ["method", "layer", "before", "after", "why"];
  const rows = groups.map(({ method, node, before, after, reason }) => [
    method,
    node,
    format.count(before),
    format.count(after),
    reason,
  ]);
  return scrollTable(header, rows);
}

/** The command line, and the model, data, machine and versions that it ran with. */
function reproduce({
  model,
  baseline,
  platform,
  commandLine,
  date,
  seconds,
  data,
}: Report): Markup {
  const ports = (list: readonly Port[]) =>
    list.map((p) => `${p.name} ${p.dtype}[${p.shape.map((d) => d ?? "?").join(", ")}]`).join("; ");
  const facts: [string, string | null][] = [
    ["model", `${model.name}, ${model.hash}`],
    ["inputs", ports(model.inputs)],
    ["outputs", ports(model.outputs)],
    ["opset", String(model.opset)],
    ["data", data],
    ["machine", platform],
    [
      "runtime",
      baseline.latency &&
        `${baseline.latency.runtime}, ${format.plural(baseline.latency.threads, "thread")}, batch ${baseline.latency.batch}, ${format.count(baseline.latency.n)} timed runs`,
    ],
    [
      "versions",
      Object.entries(baseline.versions)
        .map(([name, v]) => `${name} ${v}`)
        .join(", "),
    ],
    ["seed", String(baseline.seed)],
    ["finished", `${date}, after ${format.duration(seconds)}`],
  ];
  return fragment(
    el("pre", {}, breakable(commandLine)),
    el(
      "dl",
      { class: "facts", style: "margin-top:16px" },
      facts.map(([name, value]) =>
        value ? [el("dt", {}, name), el("dd", {}, breakable(value))] : null,
      ),
    ),
  );
}
