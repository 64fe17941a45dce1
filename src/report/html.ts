/** @file The report as one HTML file without a single request: figures, table, plots, conditions. */
import type { Result } from "../measure/measurement.ts";
import { type Column, disagrees, starHint, surveyColumns } from "./columns.ts";
import { opinionLines, skippedLines, thresholdLines, warningLines } from "./findings.ts";
import * as format from "./format.ts";
import { pageScript, pageStyle, scriptHash } from "./html-style.ts";
import { type Child, el, fragment, type Markup, raw } from "./markup.ts";
import { type Figure, figuresOf } from "./plots.ts";
import { type PrintedTable, printedTables, surveySource } from "./printed.ts";
import { familyTitle, markNames, type Port, type Report, rowsOf } from "./report.ts";
import type { Line } from "./span.ts";
import { familyClass } from "./svg.ts";
import { downloadBytes, picksOf, verdict } from "./verdict.ts";

/** One self-contained page: opens from disk, prints, and asks the network for nothing. */
export function htmlReport(report: Report): string {
  const { model, command, date } = report;
  const { picks, notes } = verdict(report);
  const rows = rowsOf(report);
  const plots = figuresOf(report);
  const page = el(
    "html",
    { lang: "en" },
    el(
      "head",
      {},
      el("meta", { charset: "utf-8" }),
      el("meta", { "http-equiv": "Content-Security-Policy", content: policy }),
      el("meta", { name: "viewport", content: "width=device-width, initial-scale=1" }),
      el("title", {}, `${model.name}: tersor ${command}`),
      el("style", {}, raw(pageStyle)),
    ),
    el(
      "body",
      {},
      el(
        "main",
        {},
        el(
          "header",
          {},
          el("p", { class: "eyebrow" }, `tersor ${command}, ${date.slice(0, 10)}`),
          el("h1", {}, model.name),
          el("p", {}, subtitle(report)),
        ),
        el(
          "p",
          { class: "lead" },
          picks.map((sentence, i) => [i ? " " : "", prose(sentence)]),
        ),
        el("div", { class: "picks" }, cards(report)),
        notes.length
          ? el(
              "ul",
              { class: "notes" },
              notes.map((note) => el("li", {}, prose(note))),
            )
          : null,
        section("Results", surveyTable(report, rows), legend()),
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
        list("Skipped, and why", skippedLines(rows)),
        list("Warnings", warningLines(rows)),
        section("How marks are given", thresholds(report)),
        section(
          "What the survey prints",
          printedTables.map(printed),
          el("p", { class: "dim" }, surveySource),
        ),
        section("Reproduce", reproduce(report)),
      ),
      el("script", {}, raw(pageScript)),
    ),
  );
  return `<!doctype html>\n${page.markup}\n`;
}

const policy = `default-src 'none'; style-src 'unsafe-inline'; script-src '${scriptHash}'; base-uri 'none'; form-action 'none'`;

function section(title: string, ...children: readonly Child[]): Markup {
  return el("section", {}, el("h2", {}, title), ...children);
}

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

/** Spans as markup; recipes may break between their steps. */
function prose(parts: Line): Markup[] {
  return parts.map(({ text, tone }) => {
    if (tone === "code") return recipeCode(text);
    return tone === "plain" ? fragment(text) : el("span", { class: tone }, text);
  });
}

/** A recipe breaks between its steps, not within them. */
function recipeCode(recipe: string): Markup {
  const steps = recipe.split(/ (?=> )/);
  return el(
    "code",
    {},
    steps.map((step, i) => [i ? " " : null, el("span", { class: "step" }, step)]),
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

/** The rows worth showing: the fastest, the smallest file and the smallest download. */
function cards(report: Report): Markup[] {
  const { fastest, smallest, lightest } = picksOf(report);
  const titles = new Map<Result, string[]>();
  const add = (row: Result | null, title: string) => {
    if (row) titles.set(row, [...(titles.get(row) ?? []), title]);
  };
  add(fastest, "fastest");
  if (smallest && smallest.alpha.bytes > 1) add(smallest, "smallest file");
  if (lightest && downloadBytes(lightest) < lightest.bytes.raw) add(lightest, "smallest download");
  return [...titles].map(([row, names]) => card(report, row, names));
}

function card({ baseline }: Report, row: Result, names: readonly string[]): Markup {
  const download = names.includes("smallest download");
  const bytes = download ? downloadBytes(row) : row.bytes.raw;
  const title = names.join(" and ").replace(/^./, (first) => first.toUpperCase());
  const stats: [string, string, string][] = [
    [
      download ? "download" : "file",
      `${format.ratio(baseline.bytes.raw / bytes)} smaller`,
      `${format.bytes(baseline.bytes.raw)} → ${format.bytes(bytes)}`,
    ],
  ];
  if (row.latency && baseline.latency && row.delta.infer !== null)
    stats.push([
      "latency",
      `${format.ratio(row.delta.infer)} ${row.marks.speed === "o" ? "faster" : "the speed"}`,
      `${format.milliseconds(baseline.latency.median)} → ${format.milliseconds(row.latency.median)} ms`,
    ]);
  if (row.metric && row.metric.drop === null && row.metric.flips !== null)
    stats.push([
      "predictions",
      `${format.fixed(row.metric.flips)} % changed`,
      `of ${format.count(row.metric.n)}`,
    ]);
  if (row.metric && row.metric.drop !== null) {
    const unit = format.metricUnit(row.metric.name);
    stats.push([
      row.metric.name,
      minus(`${format.points(-row.metric.drop)} ${unit.drop}`.trim()),
      `${format.fixed(row.metric.baseline)} → ${format.fixed(row.metric.value)} ${unit.value}`.trim(),
    ]);
  }
  return el(
    "article",
    { class: `pick ${familyClass(row.family)}` },
    el("h3", {}, title),
    el("p", {}, recipeCode(row.recipe)),
    el(
      "dl",
      {},
      stats.map(([name, value, detail]) =>
        el("div", {}, el("dt", {}, name), el("dd", {}, el("b", {}, value), el("span", {}, detail))),
      ),
    ),
  );
}

/** A real minus sign where a number begins with a hyphen. */
function minus(text: string): string {
  return text.replace(/^-(?=\d)/, "−");
}

/** A second figure under the first saves a column: sorting by either gives the same order. */
const beneath: Readonly<Record<string, string>> = {
  file: "alpha",
  nonzeros: "params",
  ms: "speedup",
  metric: "drop",
};
const elsewhere = ["marks", "family", ...Object.values(beneath)];

function surveyTable(report: Report, rows: readonly Result[]): Markup {
  const all = surveyColumns(report, rows);
  const columns = all.filter(({ id }) => !elsewhere.includes(id));
  const below = (id: string) => all.find((column) => column.id === beneath[id]) ?? null;
  const head = (column: Column<Result>) => {
    const second = below(column.id);
    return el(
      "th",
      { class: column.align, scope: "col" },
      el("button", { title: column.hint }, column.title.trim() || "★"),
      second && el("span", { class: "under", title: second.hint }, second.title),
    );
  };
  return el(
    "div",
    { class: "scroll" },
    el(
      "table",
      { class: "sortable" },
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          el("th", { class: "right" }, el("button", { title: "The order of the report" }, "#")),
          columns.map(head),
        ),
      ),
      el(
        "tbody",
        {},
        rows.map((row, i) =>
          el(
            "tr",
            { id: `row-${i}`, class: row === report.baseline ? "original" : null },
            el("td", { class: "right dim", "data-key": i }, String(i)),
            columns.map((column) => surveyCell(report, column, below(column.id), row)),
          ),
        ),
      ),
    ),
  );
}

function surveyCell(
  report: Report,
  column: Column<Result>,
  below: Column<Result> | null,
  row: Result,
): Markup {
  const key = column.key(row);
  const mark = markNames.find((name) => name === column.id);
  const names = [
    column.align === "right" ? "right" : column.id,
    ...(mark ? ["mark"] : []),
    ...(mark && disagrees(report, row, mark) ? ["differs"] : []),
  ];
  const recipe = [
    el("span", { class: `dot ${familyClass(row.family)}` }),
    recipeCode(row.recipe),
    el("span", { class: "under" }, row.family),
  ];
  return el(
    "td",
    { class: names.join(" "), "data-key": key === null ? null : String(key) },
    column.id === "recipe" ? recipe : figures(column, row),
    below && el("span", { class: "under" }, figures(below, row)),
  );
}

function figures(column: Column<Result>, row: Result): Markup[] {
  return column
    .cell(row)
    .map(({ text, tone }) =>
      tone === "plain" ? fragment(minus(text)) : el("span", { class: tone }, minus(text)),
    );
}

function legend(): Markup {
  return el(
    "p",
    { class: "dim" },
    `${starHint}. Marks: measured (the survey's opinion), tinted where they differ. Click a title to sort.`,
  );
}

function families(rows: readonly Result[]): Markup {
  return el(
    "ul",
    { class: "legend" },
    [...new Set(rows.map((row) => row.family))].map((family) =>
      el("li", {}, el("span", { class: `dot ${familyClass(family)}` }), familyTitle(family)),
    ),
  );
}

function figure({ title, caption, image }: Figure, className: string | null = null): Markup {
  return el(
    "figure",
    { class: className },
    el("figcaption", {}, el("h3", {}, title), caption),
    image,
  );
}

function thresholds(report: Report): Markup {
  return el(
    "dl",
    { class: "facts" },
    thresholdLines(report).map(({ name, rule }) => [el("dt", {}, name), el("dd", {}, rule)]),
    opinionLines(report).map((text) => [el("dt", {}, "note"), el("dd", {}, prose(text))]),
  );
}

function printed({ title, note, header, rows }: PrintedTable): Markup {
  return el(
    "details",
    {},
    el("summary", {}, title),
    el("p", { class: "dim" }, note),
    el(
      "div",
      { class: "scroll" },
      el(
        "table",
        {},
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            header.map((name) => el("th", { scope: "col" }, name)),
          ),
        ),
        el(
          "tbody",
          {},
          rows.map((row) =>
            el(
              "tr",
              {},
              row.map((text) => el("td", {}, text)),
            ),
          ),
        ),
      ),
    ),
  );
}

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
    el("pre", {}, commandLine),
    el(
      "dl",
      { class: "facts", style: "margin-top:16px" },
      facts.map(([name, value]) => (value ? [el("dt", {}, name), el("dd", {}, value)] : null)),
    ),
  );
}
