/**
 * @file The columns of marks: how a row does in size, speed, ease and performance, beside the mark
 * that the survey paper gives to its family. Tables show them only on request.
 */
import type { Mark, Marks, Result } from "../measure/measurement.ts";
import { type Column, measured, number } from "./columns.ts";
import * as format from "./format.ts";
import { type MarkName, markNames, type Report } from "./report.ts";
import { type Line, line, type Span, span, type Tone } from "./span.ts";

const tones: Readonly<Record<string, Tone>> = { o: "good", "△": "fair", x: "bad", "?": "dim" };

/** The survey's marks for the row's family; null where it has none (controls, other approaches). */
export function opinionOf(report: Report, result: Result): Marks | null {
  return Object.hasOwn(report.opinions, result.family) ? report.opinions[result.family] : null;
}

/** Whether the row's measured mark differs from the survey's mark for its family. */
export function disagrees(report: Report, result: Result, name: MarkName): boolean {
  return differ(result.marks[name], opinionOf(report, result)?.[name] ?? null);
}

/** `x (o)!`: the measured mark, the survey's in brackets, "!" where they differ. */
function markLine(report: Report, result: Result, name: MarkName): Line {
  if (result === report.baseline) return line(span("-", "dim"));
  return markCell(result.marks[name], opinionOf(report, result)?.[name] ?? null);
}

/** `x (o)!` of a measured mark and the survey's; null: it has none. */
export function markCell(mark: Mark, opinion: Mark | null): Line {
  const parts: Span[] = [span(mark, tones[mark] ?? "plain")];
  if (opinion) parts.push(span(` (${opinion})`, "dim"));
  if (differ(mark, opinion)) parts.push(span("!", "alert"));
  return parts;
}

const differ = (mark: Mark, opinion: Mark | null): boolean =>
  opinion !== null && opinion !== "?" && mark !== "?" && mark !== opinion;

/** All four marks in one narrow column, then the survey's where they differ: `o△xo (·x··)`. */
function compactMarks(report: Report, result: Result): Line {
  if (result === report.baseline) return line(span("-", "dim"));
  const opinion = opinionOf(report, result);
  const differs = markNames.map((name) => disagrees(report, result, name));
  return line(
    ...markNames.map((name) => span(result.marks[name], tones[result.marks[name]] ?? "plain")),
    ...(opinion && differs.includes(true)
      ? [
          span(" (", "dim"),
          ...markNames.map((name, i) =>
            differs[i] ? span(opinion[name], "alert") : span("·", "dim"),
          ),
          span(")", "dim"),
        ]
      : []),
  );
}

const markRank: Readonly<Record<string, number>> = { o: 0, "△": 1, x: 2 };

/**
 * The columns that compare with the survey paper: its two rates, a column for each mark, and one of
 * four letters for narrow tables.
 */
export function paperColumns(report: Report, rows: readonly Result[]): Column<Result>[] {
  const isBase = (row: Result) => row === report.baseline;
  const rates = [
    number<Result>(
      "alphaParams",
      "alpha (params)",
      "The paper's compression rate: the original's params / params",
      (r) => r.alpha.params,
      format.ratio,
    ),
    number<Result>(
      "beta",
      "beta (params)",
      "(a - a*) / a* as the paper prints it, a: params",
      (r) => (isBase(r) ? null : r.beta.survey),
      (n) => format.fixed(n),
    ),
  ];
  return [
    ...measured(rates, rows),
    ...markNames.map(
      (name): Column<Result> => ({
        id: name,
        title: name === "performance" ? "perf" : name,
        align: "left",
        hint: `${name}: measured, in brackets the paper's mark, ! where they differ`,
        key: (r) => (isBase(r) ? null : (markRank[r.marks[name]] ?? null)),
        cell: (r) => markLine(report, r, name),
      }),
    ),
    {
      id: "marks",
      title: "marks",
      align: "left",
      hint: "size, speed, ease, performance: measured (the paper's marks where they differ)",
      key: (r) => markNames.map((name) => markRank[r.marks[name]] ?? 3).join(""),
      cell: (r) => compactMarks(report, r),
    },
  ];
}

/** What the marks are, for the place where they are shown. */
export const marksText =
  "Each row is marked by its measured figures: o good, △ fair, x poor, ? not measured. In brackets stands the mark that the survey paper (Cheng et al., arXiv 1710.09282) gives to the whole family, as we read it; ! where they differ. Alpha and beta are the paper's rates of compression: the original's parameters a over those that are stored, a*, and (a - a*) / a*.";
