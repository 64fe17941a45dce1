/** @file The results in the HTML report: cards for the best rows, and the sortable table. */
import { aboutOf } from "../measure/about.ts";
import type { Result } from "../measure/measurement.ts";
import { isSame } from "../measure/speed.ts";
import { type Column, dropInterval, isNarrow, starHint, surveyColumns } from "./columns.ts";
import * as format from "./format.ts";
import { disagrees, paperColumns } from "./mark-columns.ts";
import { el, fragment, type Markup } from "./markup.ts";
import { markNames, type Report } from "./report.ts";
import type { Line } from "./span.ts";
import { interval, unitOf } from "./speed.ts";
import { familyClass } from "./svg.ts";
import { downloadBytes, isNoise, picksOf } from "./verdict.ts";

/** A line of spans as HTML; recipes become code that may break between its steps. */
export function prose(parts: Line): Markup[] {
  return parts.map(({ text, tone }) => {
    if (tone === "code") return recipeCode(text);
    return tone === "plain" ? fragment(text) : el("span", { class: tone }, text);
  });
}

/** Pieces of a step longer than this may be broken anywhere. */
const longest = 32;

/**
 * A recipe as code. Lines break between steps, else behind ":" and ",", so that names and settings
 * stay whole.
 */
function recipeCode(recipe: string): Markup {
  const piece = (text: string) =>
    text.length > longest ? text : el("span", { class: "whole" }, text);
  const steps = recipe.split(/ (?=> )/);
  return el(
    "code",
    {},
    steps.map((step, i) => [
      i ? " " : null,
      el(
        "span",
        { class: "step" },
        step.split(/(?<=[:,])/).map((text, k) => [k ? el("wbr", {}) : null, piece(text)]),
      ),
    ]),
  );
}

/** Gives the address of a row's model, relative to the page; null where there is no file. */
export type LinkOf = (file: string) => string;

/** The markup as a link to the row's model, if it has a file. */
function linked(row: Result, linkOf: LinkOf | null, content: Markup): Markup {
  return row.file && linkOf ? el("a", { href: linkOf(row.file) }, content) : content;
}

/**
 * Cards for the fastest row, the smallest file and the smallest download among the rows that keep
 * quality. One card has several titles where they are the same row.
 */
export function cards(report: Report, linkOf: LinkOf | null): Markup[] {
  const { fastest, smallest, lightest } = picksOf(report);
  const titles = new Map<Result, string[]>();
  const add = (row: Result | null, title: string) => {
    if (row) titles.set(row, [...(titles.get(row) ?? []), title]);
  };
  add(fastest, "fastest");
  if (smallest && smallest.alpha.bytes > 1) add(smallest, "smallest file");
  if (lightest && downloadBytes(lightest) < lightest.bytes.raw) add(lightest, "smallest download");
  return [...titles].map(([row, names]) => card(report, row, names, linkOf));
}

/** A card: title, recipe, and the row's size, latency and metric beside the original's. */
function card(
  { baseline, results }: Report,
  row: Result,
  names: readonly string[],
  linkOf: LinkOf | null,
): Markup {
  const isAlone = results.length === 1;
  const download = names.includes("smallest download") && !isAlone;
  const bytes = download ? downloadBytes(row) : row.bytes.raw;
  const joined = names.join(", ").replace(/, (?=[^,]*$)/, " and ");
  const title = isAlone ? "Result" : joined.replace(/^./, (first) => first.toUpperCase());
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
    const faster = `${format.ratio(infer)} ${infer > 1 ? "faster" : "the speed"}`;
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
      format.score(row.metric),
      `on ${format.plural(row.metric.n, "record")}`,
    ]);
  if (!row.metric) stats.push(["quality", "no figure", "without data"]);
  if (row.metric && row.metric.drop !== null) {
    const { dropUnit, digits } = aboutOf(row.metric);
    stats.push([
      row.metric.name,
      isNoise(row.metric)
        ? "no difference"
        : minus(`${format.points(-row.metric.drop, digits)} ${dropUnit}`.trim()),
      `${format.fixed(row.metric.baseline, digits)} → ${format.metricValue(row.metric, row.metric.value)}` +
        (row.metric.dropCi95 ? `, drop 95 % ${dropInterval(row.metric.dropCi95, digits)}` : "") +
        (row.metric.words ? `: ${row.metric.words}` : ""),
    ]);
  }
  return el(
    "article",
    { class: `pick ${familyClass(row.family)}` },
    el("h3", {}, title),
    el("p", {}, linked(row, linkOf, recipeCode(row.recipe))),
    el(
      "dl",
      {},
      stats.map(([name, value, detail]) => [
        el("dt", {}, name),
        el("dd", {}, el("b", {}, value), " ", el("span", {}, detail)),
      ]),
    ),
  );
}

/** The text with a minus sign (U+2212) in place of a hyphen at its beginning. */
function minus(text: string): string {
  return text.replace(/^-(?=\d)/, "−");
}

/** The columns of the table in their order, each with the one that is shown below its figures. */
const stacks: readonly (readonly [upper: string, lower: string | null])[] = [
  ["recipe", null],
  ["file", "alpha"],
  ["speedup", "speedup95"],
  ["metric", "flips"],
  ["drop", "drop95"],
  ["ms", null],
  ["own", "own95"],
  ["train", "train95"],
  ["brotli", "packed"],
  ["nonzeros", "params"],
];

interface Stack {
  readonly upper: Column<Result>;
  readonly lower: Column<Result> | null;
}

/** The stacks that there are figures for; a lower column without its upper one takes its place. */
function stacksOf(columns: readonly Column<Result>[]): Stack[] {
  const find = (id: string | null) => columns.find((column) => column.id === id) ?? null;
  return stacks.flatMap(([a, b]): Stack[] => {
    const [upper, lower] = [find(a), find(b)];
    if (upper) return [{ upper, lower }];
    return lower ? [{ upper: lower, lower: null }] : [];
  });
}

/** The sortable table of all rows; row i has the id "row-i", to which the plots link. */
export function resultsTable(
  report: Report,
  rows: readonly Result[],
  linkOf: LinkOf | null,
): Markup {
  const shown = stacksOf(surveyColumns(report, rows));
  const head = ({ upper, lower }: Stack) =>
    el(
      "th",
      { class: upper.id === "recipe" ? "recipe" : upper.align, scope: "col" },
      el("button", { title: upper.hint }, upper.title),
      lower && el("span", { class: "under", title: lower.hint }, lower.title),
    );
  const body = rows.map((row, i) =>
    el(
      "tr",
      {
        id: `row-${i}`,
        class: row === report.baseline ? "original" : null,
        "data-recipe": row.recipe,
        "data-family": row.family,
      },
      shown.map(({ upper, lower }) =>
        upper.id === "recipe"
          ? recipeCell(report, row, i, row === report.baseline ? null : linkOf)
          : figureCell(upper, lower, row),
      ),
    ),
  );
  return el(
    "div",
    { class: "scroll" },
    el(
      "table",
      { class: "sortable" },
      el("thead", {}, el("tr", {}, shown.map(head))),
      el("tbody", {}, body),
    ),
  );
}

/** The recipe with its number and family. It is sorted by the number, which is the report's order. */
function recipeCell(report: Report, row: Result, i: number, linkOf: LinkOf | null): Markup {
  const isBest = report.pareto.includes(row.recipe);
  return el(
    "td",
    { class: "recipe", "data-key": i },
    el("span", { class: `dot ${familyClass(row.family)}` }),
    isBest ? el("span", { class: "star fair", title: starHint(report) }, "★") : null,
    linked(row, linkOf, recipeCode(row.recipe)),
    i && report.results.length > 2
      ? el(
          "button",
          { type: "button", class: "take", title: "Show as a command and as TypeScript" },
          "take",
        )
      : null,
    el("span", { class: "under" }, i ? `${i}\u00a0·\u00a0${row.family}` : "as it was given"),
  );
}

/** A cell of figures; `data-key` holds the value that the page's script sorts by. */
function figureCell(upper: Column<Result>, lower: Column<Result> | null, row: Result): Markup {
  const key = upper.key(row);
  return el(
    "td",
    { class: upper.align, "data-key": key === null ? null : String(key) },
    figures(upper, row),
    lower && el("span", { class: "under" }, figures(lower, row)),
  );
}

/** The marks of each row, tinted where the survey paper's differ. */
export function marksTable(report: Report, rows: readonly Result[]): Markup {
  const columns = paperColumns(report, rows).filter((column) => !isNarrow(column));
  const others = rows.filter((row) => row !== report.baseline);
  const cell = (column: Column<Result>, row: Result) => {
    const differs = markNames.some((name) => name === column.id && disagrees(report, row, name));
    return el("td", { class: differs ? "mark differs" : "mark" }, figures(column, row));
  };
  const titles = ["recipe", ...columns.map(({ title }) => title)];
  return el(
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
          titles.map((title) => el("th", { scope: "col" }, title)),
        ),
      ),
      el(
        "tbody",
        {},
        others.map((row) =>
          el(
            "tr",
            {},
            el("td", {}, recipeCode(row.recipe)),
            columns.map((c) => cell(c, row)),
          ),
        ),
      ),
    ),
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
