/** @file The survey's property table: its marks, and ours in front of them. */
import { expect, test } from "vitest";
import { cellText } from "../../src/report/columns.ts";
import { familyColumns, familyRows } from "../../src/report/family-table.ts";
import { htmlReport } from "../../src/report/html.ts";
import { surveyMarkdown } from "../../src/report/markdown.ts";
import { rowsOf } from "../../src/report/report.ts";
import { surveyTable } from "../../src/report/table.ts";
import { lenet } from "./fixture.ts";

const report = lenet();

test("has a row for each family of the survey, marked by the first of its rows", () => {
  const columns = familyColumns(report);
  const rows = familyRows(report).map((row) => columns.map((column) => cellText(column, row)));
  expect(rows.map(([family]) => family)).toEqual([
    "quantization and binarization",
    "pruning",
    "structured matrices",
    "low rank",
    "transferred and compact filters",
    "distillation",
  ]);
  for (const [i, { family, best }] of familyRows(report).entries()) {
    const first = rowsOf(report).find((row) => row.family === family)!;
    expect(best).toBe(first);
    const { size, performance } = report.opinions[family];
    const cell = (own: string, theirs: string) => `${own} (${theirs})${own === theirs ? "" : "!"}`;
    expect(rows[i][3]).toBe(cell(first.marks.size, size));
    expect(rows[i][6]).toBe(cell(first.marks.performance, performance));
    expect(rows[i].at(-1)).toContain(first.recipe);
  }
});

test("says what was not measured, and needs more than one family", () => {
  const results = report.results.filter(({ family }) => family !== "structured");
  const columns = familyColumns({ ...report, results });
  const row = familyRows({ ...report, results }).find(({ family }) => family === "structured")!;
  expect(columns.map((column) => cellText(column, row)).slice(3)).toEqual([
    ...["? (o)", "? (o)", "? (x)", "? (x)", "-", "not measured"],
  ]);
  const alone = report.results.filter(({ family }) => family === "pruning");
  expect(surveyMarkdown({ ...report, results: alone })).not.toContain("## Families");
});

test("stands in all three forms of the report; on a terminal with the marks", () => {
  const width = { width: 200, color: false };
  expect(surveyTable(report, { ...width, marks: true })).toMatch(/\nFamilies\nfamily +layers +/);
  expect(surveyTable(report, width)).not.toContain("Families");
  expect(surveyMarkdown(report)).toContain("## Families");
  expect(htmlReport(report)).toContain("<summary>Families, with our marks</summary>");
});
