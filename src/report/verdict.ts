/** @file The verdict in sentences: the best recipes, disappointments, the survey's errors. */
import { aboutOf } from "../measure/about.ts";
import type { Metric, Result } from "../measure/measurement.ts";
import { knownSpeedup } from "../measure/speed.ts";
import { contains } from "../numeric/statistics.ts";
import { dropInterval } from "./columns.ts";
import * as format from "./format.ts";
import { disagrees, opinionOf } from "./mark-columns.ts";
import { recordsText } from "./records.ts";
import { hasQuality, lossOf, type MarkName, markNames, type Report, rowsOf } from "./report.ts";
import { joined, type Line, line, type Span, span } from "./span.ts";
import { speedup, speedups, unitOf } from "./speed.ts";

/** The best rows of a report; the original is not among them. */
export interface Picks {
  /** Rows that keep quality (performance mark "o"); all rows if that is not known of any. */
  readonly keepers: readonly Result[];
  /** Whether a drop or flips say which rows keep quality. */
  readonly judged: boolean;
  /** The keeper with the largest speed-up. */
  readonly fastest: Result | null;
  /** The keeper with the smallest ONNX file. */
  readonly smallest: Result | null;
  /** The keeper with the smallest download, see `downloadBytes`. */
  readonly lightest: Result | null;
}

/** The name of a row for a sentence. */
type Naming = (row: Result) => Span;

/** All rows but the original's. */
function changedRows(report: Report): Result[] {
  return rowsOf(report).filter((row) => row !== report.baseline);
}

/** Bytes of the download: the smallest of raw, gzip, brotli and .tersor that was measured. */
export function downloadBytes({ bytes }: Result): number {
  return Math.min(
    bytes.raw,
    bytes.gzip ?? Infinity,
    bytes.brotli ?? Infinity,
    bytes.packed ?? Infinity,
  );
}

/** The row with the smallest finite key; null if there is none. */
function least(rows: readonly Result[], key: (row: Result) => number): Result | null {
  const known = rows.filter((row) => Number.isFinite(key(row)));
  return known.length ? known.reduce((a, b) => (key(b) < key(a) ? b : a)) : null;
}

/** The best rows: the fastest, the smallest file and the smallest download that keep quality. */
export function picksOf(report: Report): Picks {
  const rows = changedRows(report);
  const judged = lossOf(report) !== null && rows.some((row) => row.marks.performance !== "?");
  const keepers = judged ? rows.filter((row) => row.marks.performance === "o") : rows;
  return {
    keepers,
    judged,
    fastest: least(keepers, (row) => -(row.delta.infer ?? Number.NaN)),
    smallest: least(keepers, (row) => row.bytes.raw),
    lightest: least(keepers, downloadBytes),
  };
}

/** The verdict as sentences: `picks` about the best rows, `notes` about what disappoints. */
export function verdict(report: Report): { picks: Line[]; notes: Line[] } {
  const rows = changedRows(report);
  const records = recordsText(rowsOf(report).find(({ metric }) => metric)?.metric?.records);
  const unfinished = report.unfinished ? [line(report.unfinished)] : [];
  if (!rows.length) return { picks: [line("Nothing was compressed.")], notes: unfinished };
  const names = format.shortNames(rows.map((row) => row.recipe));
  const short = (row: Result) => span(names.get(row.recipe) ?? row.recipe, "code");
  const present = (lines: (Line | null)[]) => lines.filter((sentence) => sentence !== null);
  return {
    picks: present([keeping(report, rows.length), ...pickLines(report), downloadLine(report)]),
    notes: present([
      ...unfinished,
      notFasterLine(rows, short),
      downloadOnlyLine(report, rows, short),
      records === null ? null : line(`${format.capitalized(records)}.`),
    ]),
  };
}

/** How many rows keep quality; if none does, which one loses least. */
function keeping(report: Report, total: number): Line {
  const { keepers, judged } = picksOf(report);
  const tried = format.plural(total, "recipe");
  if (!judged) return unjudged(report, tried);
  const limit = `at most ${lossText(report, report.thresholds.performance.good * (lossOf(report)?.point ?? 1))}`;
  if (keepers.length && total === 1) return line(`Quality is kept (${limit}).`);
  if (keepers.length)
    return line(
      `${keepers.length} of ${tried} ${keepers.length === 1 ? "keeps" : "keep"} quality (${limit}).`,
    );
  const loss = lossOf(report);
  const nearest = least(changedRows(report), (row) => loss?.of(row) ?? Number.NaN);
  return line(
    `None of ${tried} keeps quality (${limit})`,
    ...(nearest && loss
      ? ["; the nearest is ", name(nearest), ` with ${lossText(report, loss.of(nearest)!)}`]
      : []),
    ".",
  );
}

/** What the figures leave open if no drop and no flips say which rows keep quality. */
function unjudged(report: Report, tried: string): Line {
  if (!hasQuality(report)) {
    const rows = changedRows(report);
    const which = rows.length === 1 ? "whether the recipe" : `which of ${tried}`;
    return line(`No quality figure: without data nothing here says ${which} can be used.`);
  }
  const equal = changedRows(report).filter(({ metric }) => metric?.exact).length;
  return line(
    "Without labels the figures say how far outputs moved, not how good they are.",
    equal > 0 ? ` Those of ${format.plural(equal, "recipe")} did not move.` : "",
  );
}

/** A loss in words: "a drop of 0.5 points" or "0.5 % changed predictions". */
function lossText(report: Report, figure: number): string {
  const loss = lossOf(report);
  const text = Number(figure.toFixed((loss?.digits ?? 2) + 1));
  return loss?.kind === "flips"
    ? `${text} % changed predictions`
    : `a drop of ${text} ${loss?.unit ?? ""}`.trimEnd();
}

/** Sentences about the fastest row and the smallest file; one sentence if they are the same row. */
function pickLines(report: Report): (Line | null)[] {
  const { fastest, smallest } = picksOf(report);
  const smaller = smallest && smallest.alpha.bytes > 1 ? smallest : null;
  if (fastest && fastest === smaller && fastest.marks.speed === "o")
    return [pickLine(report, line("Fastest and smallest: "), fastest)];
  const isAlone = changedRows(report).length === 1;
  // Faster beyond doubt, though by little, is not the same as no difference.
  const isFaster = fastest !== null && (knownSpeedup(fastest.delta) ?? 0) > 1;
  if (fastest && fastest === smaller) {
    const alone = isFaster ? "Smaller, and a little faster: " : "Smaller, not clearly faster: ";
    const first = isFaster
      ? "Fastest, by little, and smallest: "
      : "None of them is clearly faster; the smallest is ";
    return [pickLine(report, line(isAlone ? alone : first), fastest)];
  }
  const lead =
    fastest?.marks.speed === "o"
      ? "Fastest: "
      : isFaster
        ? isAlone
          ? "A little faster: "
          : "Fastest, by little: "
        : isAlone
          ? "Not clearly faster: "
          : "None of them is clearly faster; the fastest is ";
  return [
    fastest && pickLine(report, line(lead), fastest),
    smaller && pickLine(report, line("Smallest: "), smaller),
  ];
}

/**
 * A sentence about one row: `recipe, 0.183 instead of 0.420 CPU ms (2.3x, 2.25-2.36), 441 kB instead
 * of 1.72 MB (3.9x), 0.04 points worse (-0.03 to +0.11: no difference).`
 */
function pickLine(report: Report, lead: Line, row: Result): Line {
  const { baseline } = report;
  const time =
    row.latency && baseline.latency
      ? `${format.milliseconds(row.latency.median)} instead of ${format.milliseconds(baseline.latency.median)} ${unitOf(row.latency.clock)} (${speedups(row.delta)})`
      : "not timed";
  const size = `${format.bytes(row.bytes.raw)} instead of ${format.bytes(baseline.bytes.raw)} (${format.ratio(row.alpha.bytes)})`;
  return line(...lead, name(row), `, ${time}, ${size}${dropText(row)}.`);
}

/** The drop (without labels the flips, else the fidelity) in words, with its 95 % interval. */
function dropText({ metric }: Result): string {
  if (!metric) return "";
  const { drop, flips, dropCi95, words } = metric;
  const told = words ? `: ${words}` : "";
  if (drop === null || !Number.isFinite(drop)) {
    if (flips !== null) return `, ${format.fixed(flips)} % of predictions changed${told}`;
    return `, ${metric.name} ${format.score(metric)}${told}`;
  }
  const { dropUnit, digits } = aboutOf(metric);
  const size = `${format.fixed(Math.abs(drop), digits)} ${dropUnit}`.trimEnd();
  const loss = drop > 0 ? `${size} worse` : drop < 0 ? `${size} better` : "no worse";
  return `, ${loss}${dropCi95 ? ` (${dropRange(metric)})` : ""}${told}`;
}

/** "drop -0.85 to +0.35: no difference", the interval of the drop; empty if there is none. */
export function dropRange(metric: Metric): string {
  if (!metric.dropCi95 || metric.drop === null) return "";
  return `drop ${dropInterval(metric.dropCi95, aboutOf(metric).digits)}${isNoise(metric) ? ": no difference" : ""}`;
}

/** Whether no drop and no gain are within the interval of the drop. */
export function isNoise({ dropCi95 }: Metric): boolean {
  return contains(dropCi95, 0);
}

/** The smallest download, if it is smaller than its own ONNX file; else null. */
function downloadLine(report: Report): Line | null {
  const { lightest } = picksOf(report);
  if (!lightest || downloadBytes(lightest) >= lightest.bytes.raw) return null;
  const bytes = downloadBytes(lightest);
  const { packed, gzip } = lightest.bytes;
  const form = bytes === packed ? "packed" : bytes === gzip ? "with gzip" : "with brotli";
  return line(
    "Smallest download: ",
    name(lightest),
    `, ${format.bytes(bytes)} ${form} (${format.ratio(report.baseline.bytes.raw / bytes)}).`,
  );
}

/**
 * The rows that are smaller but not faster than the original, against the survey's claim that
 * smaller models are faster.
 */
function notFasterLine(rows: readonly Result[], short: Naming): Line | null {
  // A speed-up below 1.05 is too small to call a model faster, even where it is certain.
  const found = rows.filter(
    ({ marks, delta }) =>
      (marks.size === "o" || marks.size === "△") && (knownSpeedup(delta) ?? Infinity) < 1.05,
  );
  if (!found.length) return null;
  return line(
    "Smaller, not faster: ",
    ...list(
      found.map((row) => line(short(row), ` (${speedup(row.delta.infer, row.delta.ci95.infer)})`)),
    ),
    ".",
  );
}

/**
 * The rows whose download is much smaller than their file: zeros that are stored in a dense tensor
 * only save bytes once the file is compressed.
 */
function downloadOnlyLine(report: Report, rows: readonly Result[], short: Naming): Line | null {
  const { fair } = report.thresholds.size;
  const found = rows.filter(
    (row) => row.alpha.bytes < fair && report.baseline.bytes.raw / downloadBytes(row) >= 2 * fair,
  );
  if (!found.length) return null;
  return line(
    "Smaller as a download only, the file stays as large: ",
    ...list(found.map((row) => line(short(row)))),
    ".",
  );
}

/** For how many marks the survey paper agrees with the measurement, and where it does not. */
export function opinionLine(report: Report): Line | null {
  const rows = changedRows(report);
  const held = (row: Result, mark: MarkName) =>
    row.marks[mark] !== "?" && row.marks[mark] === opinionOf(report, row)?.[mark];
  const against = new Map<string, Set<MarkName>>();
  let [right, wrong] = [0, 0];
  for (const row of rows)
    for (const mark of markNames) {
      if (held(row, mark)) right += 1;
      if (!disagrees(report, row, mark)) continue;
      wrong += 1;
      against.set(row.family, (against.get(row.family) ?? new Set()).add(mark));
    }
  if (right + wrong === 0) return null;
  const parts = [...against].map(([family, marks]) => line(`${family} (${[...marks].join(", ")})`));
  return line(
    `The paper's marks hold for ${right} of ${right + wrong}`,
    ...(parts.length ? [span("; they fail for "), ...list(parts)] : []),
    ".",
  );
}

function name(row: Result): Span {
  return span(row.recipe, "code");
}

/** Joins items as "a, b and c"; a list of more than `most` items ends with a count. */
function list(items: readonly Line[], most = 6): Line {
  const shown = items.length > most ? items.slice(0, most) : items.slice(0, -1);
  const last = items.length > most ? line(`${items.length - most} more`) : items[items.length - 1];
  return shown.length ? [...joined(shown, ", "), span(" and "), ...last] : last;
}
