/** @file Results of benches: a run replaces what its own CPU gave before, and nothing else. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { readRun, readRuns, writeRun } from "../../bench/record.ts";
import { rowsByCpu } from "../../scripts/docs/page.ts";

const folder = `${mkdtempSync(join(tmpdir(), "tersor-record-"))}/`;
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it("keeps the results of other CPUs, and puts the latest last", () => {
  expect(readRun("speed", folder, "A")).toBeNull();
  writeRun("speed", { ms: 1 }, folder, "A");
  writeRun("speed", { ms: 2 }, folder, "B");
  writeRun("speed", { ms: 3 }, folder, "A");
  expect(readRuns("speed", folder)).toEqual({ A: { ms: 3 }, B: { ms: 2 } });
  expect(Object.keys(readRuns("speed", folder))).toEqual(["B", "A"]);
  expect(readRun("speed", folder, "B")).toEqual({ ms: 2 });
});

it("prints a row for each CPU under each name", () => {
  const runs = { A: ["x 1", "y 2"], B: ["y 3"] };
  const rows = rowsByCpu(runs, (run) => run.map((row) => row.split(" ")));
  expect(rows).toEqual([
    ["x", "A", "1"],
    ["y", "A", "2"],
    ["y", "B", "3"],
  ]);
});
