/** @file The results in the HTML report: cards for the best rows, and the sortable table. */
import type { Result } from "../measure/measurement.ts";
import { isSame } from "../measure/speed.ts";
import { type Column, disagrees, dropInterval, isNarrow, surveyColumns } from "./columns.ts";
import * as format from "./format.ts";
import { el, fragment, type Markup } from "./markup.ts";
import { markNames, type Report } from "./report.ts";
import type { Line } from "./span.ts";
import { interval, unitOf } from "./speed.ts";
import { familyClass } from "./svg.ts";
import { downloadBytes, picksOf } from "./verdict.ts";

/** A line of spans as HTML; recipes become code that may break between its steps. */
export function prose(parts: Line): Markup[] {
  return parts.map(({ text, tone }) => {
    if (tone === "code") return recipeCode(text);
    return tone === "plain" ? fragment(text) : el("span", { class: tone }, text);
  });
}

/** A recipe as code in which lines break between steps, not within them. */
function recipeCode(recipe: string): Markup {
  const steps = recipe.split(/ (?=> )/);
  return el(
    "code",
    {},
    steps.map((step, i) => [i ? " " : null, el("span", { class: "step" }, step)]),
  );
}

/**
 * Cards for the fastest row, the smallest file and the smallest download among the rows that keep
 * quality. One card has several titles where they are the same row.
 */
export function cards(report: Report): Markup[] {
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

/** A card: title, recipe, and the row's size, latency and metric beside the original's. */
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
  const { infer, ci95 } = row.delta;
  if (row.latency && baseline.latency && infer !== null) {
    const times = [baseline.latency, row.latency].map(({ median }) => format.milliseconds(median));
    const faster = `${format.ratio(infer)} ${row.marks.speed === "o" ? "faster" : "the speed"}`;
    stats.push([
      "latency",
      isSame(ci95.infer) ? "no difference" : faster,
      `${times.join(" → ")} ${unitOf(row.latency.clock)}${ci95.infer ? `, 95 % ${interval(ci95.infer)}` : ""}`,
    ]);
  }
  if (row.metric && row.metric.drop === null && row.metric.flips !== null)
    stats.push([
      "predictions",
      `${format.fixed(row.metric.flips)} % changed`,
      `of ${format.count(row.metric.n)}`,
    ]);
  if (row.metric && row.metric.drop === null && row.metric.flips === null)
    stats.push([
      row.metric.name,
      format.score(row.metric.name, row.metric.value, row.metric.exact === true),
      `on ${format.plural(row.metric.n, "record")}`,
    ]);
  if (!row.metric) stats.push(["quality", "no figure", "without data"]);
  if (row.metric && row.metric.drop !== null) {
    const unit = format.metricUnit(row.metric.name);
    stats.push([
      row.metric.name,
      minus(`${format.points(-row.metric.drop)} ${unit.drop}`.trim()),
      `${format.fixed(row.metric.baseline)} → ${format.fixed(row.metric.value)} ${unit.value}`.trim() +
        (row.metric.dropCi95 ? `, drop 95 % ${dropInterval(row.metric.dropCi95)}` : ""),
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

/** The text with a minus sign (U+2212) in place of a hyphen at its beginning. */
function minus(text: string): string {
  return text.replace(/^-(?=\d)/, "−");
}

/**
 * Columns (values) that are shown as a second line in the cells of another column (keys), which
 * saves width. Rows are sorted by the upper one.
 */
const beneath: Readonly<Record<string, string>> = {
  alpha: "saved",
  brotli: "packed",
  params: "nonzeros",
  alphaParams: "beta",
  speedup: "speedup95",
  own: "own95",
  train: "train95",
  metric: "flips",
  drop: "drop95",
};

/** The sortable table of all rows; row i has the id "row-i", to which the plots link. */
export function resultsTable(report: Report, rows: readonly Result[]): Markup {
  const all = surveyColumns(report, rows);
  const lower = all.map(({ id }) => beneath[id]);
  const columns = all.filter(
    (column) => column.id !== "family" && !isNarrow(column) && !lower.includes(column.id),
  );
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

/** A cell; `data-key` holds the value that the page's script sorts by. */
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

/** The text of a column's cell as markup. */
function figures(column: Column<Result>, row: Result): Markup[] {
  return column
    .cell(row)
    .map(({ text, tone }) =>
      tone === "plain" ? fragment(minus(text)) : el("span", { class: tone }, minus(text)),
    );
}
