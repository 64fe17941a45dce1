/** @file The journal of a search loses at most the line that was being written. */
import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { journalFile, openJournal } from "../../src/cli/journal.ts";
import type { Result } from "../../src/measure/measurement.ts";
import { lenet } from "../report/fixture.ts";
import { temporaryFolder } from "./run.ts";

const folder = temporaryFolder();
afterAll(() => folder.close());
const bytes = new Uint8Array(7);
const rowOf = (recipe: string): Result => {
  const row = lenet().results[1];
  const metric = { ...row.metric!, sqnr: Infinity, drop: Number.NaN };
  return { ...row, recipe, metric, bytes: { ...row.bytes, raw: bytes.length } };
};
const found = (recipe: string, seconds: number) => ({ recipe, row: null, reason: "no", seconds });

test("remembers what was measured, to the last whole line", () => {
  const out = folder.in("a");
  const first = openJournal(out, true);
  first.addScreened("256 x", found("x", 1.5));
  first.begin("x");
  first.addTrial({ recipe: "x" } as never, rowOf("x"), bytes, null);
  first.addSeconds("x", 2.5);
  first.begin("y");
  const whole = readFileSync(journalFile(out), "utf8");
  appendFileSync(journalFile(out), '{"screened":"256 z","fou');
  const { remembered } = openJournal(out, false);
  expect([...remembered.screened]).toEqual([["256 x", found("x", 1.5)]]);
  expect(remembered.done).toHaveLength(1);
  // JSON has no infinity and no NaN; a resumed row has.
  expect(remembered.done[0]).toEqual({ ...rowOf("x"), file: first.fileOf("x") });
  expect(remembered.rowSeconds.get("x")).toBe(2.5);
  expect(readFileSync(journalFile(out), "utf8")).toBe(whole);
  expect(readdirSync(first.fileOf("x").replace("model.onnx", "")).toSorted()).toEqual([
    "job.json",
    "model.onnx",
    "result.json",
  ]);
});

test("a recipe that was begun twice and never ended is deadly; a lost model is measured anew", () => {
  const out = folder.in("b");
  const first = openJournal(out, true);
  for (const recipe of ["x", "y", "y"]) first.begin(recipe);
  // Ctrl-C ends a trial, not the process.
  for (let i = 0; i < 2; i++) {
    first.begin("z");
    first.end("z");
  }
  first.addTrial({ recipe: "x" } as never, rowOf("x"), bytes, null);
  expect(openJournal(out, false).remembered).toMatchObject({ deadly: ["y"] });
  rmSync(first.fileOf("x"));
  expect(openJournal(out, false).remembered.done).toEqual([]);
  openJournal(out, true);
  expect(existsSync(journalFile(out))).toBe(false);
});
