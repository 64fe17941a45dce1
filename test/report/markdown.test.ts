/** @file Markdown: golden text, and hostile names that stay inside their table cell. */
import { expect, test } from "vitest";
import {
  benchMarkdown,
  escapeMarkdown,
  evalMarkdown,
  inspectMarkdown,
  surveyMarkdown,
} from "../../src/report/markdown.ts";
import { benchRuns, hostile, inspection, lenet, mobile } from "./fixture.ts";

test("golden text", async () => {
  await expect(surveyMarkdown(lenet())).toMatchFileSnapshot("golden/lenet.md.txt");
  await expect(
    [
      inspectMarkdown(inspection(mobile())),
      benchMarkdown(benchRuns()),
      evalMarkdown(lenet().results[2]),
    ].join("\n"),
  ).toMatchFileSnapshot("golden/others.md.txt");
});

test("every row of every table has as many cells as its header", () => {
  for (const text of [
    surveyMarkdown(hostile()),
    surveyMarkdown(lenet()),
    benchMarkdown(benchRuns()),
  ]) {
    const rows = text.split("\n").filter((row) => row.startsWith("|"));
    // GFM splits at every "|" without a backslash, inside code spans too.
    const cells = (row: string) => row.split(/(?<!\\)\|/).length;
    let header = 0;
    rows.forEach((row, i) => {
      if (rows[i + 1]?.startsWith("| ---")) header = cells(row);
      expect(cells(row), row).toBe(header);
    });
  }
});

test("markup in a name is text", () => {
  expect(escapeMarkdown("<img src=x>|*a*_b_`c`[d](e)&")).toBe(
    "&lt;img src=x&gt;\\|\\*a\\*\\_b\\_\\`c\\`\\[d\\](e)&amp;",
  );
  const outsideCode = surveyMarkdown(hostile()).replace(/(`+)[^`].*?\1/g, "");
  expect(outsideCode).not.toMatch(/<(script|img)/i);
});
