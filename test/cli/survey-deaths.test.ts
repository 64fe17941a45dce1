/** @file A recipe that ends the process of a survey twice is left out the third time. */
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { surveyFile } from "../../src/cli/survey-state.ts";
import { writeFixtures } from "./fixtures.ts";
import { run, temporaryFolder } from "./run.ts";

const folder = temporaryFolder();
beforeAll(() => writeFixtures(folder));
afterAll(() => folder.close());

test("survey --resume leaves out what was begun twice and never ended", async () => {
  writeFileSync(folder.in("recipes.txt"), "store-float16\nshare-weights:bits=2\n");
  const out = folder.in("out");
  const read = () => JSON.parse(readFileSync(surveyFile(out), "utf8"));
  const resume = ["survey", folder.in("model.onnx"), "-o", out, "--resume"];
  // Ctrl-C in the middle of a recipe is not its fault.
  for (const begin of [["--recipes", folder.in("recipes.txt"), "--no-measure", "-o", out], []]) {
    const controller = new AbortController();
    const args = begin.length > 0 ? ["survey", folder.in("model.onnx"), ...begin] : resume;
    const { status } = await run(args, controller.signal, () => controller.abort());
    expect([0, 130]).toContain(status);
    expect(read().began).toEqual({});
  }
  // As two processes left it that were killed while they ran it.
  const state = read();
  const results = state.results.filter(({ recipe }: { recipe: string }) => recipe === "original");
  const began = { "share-weights:bits=2": 2, "store-float16": 1 };
  writeFileSync(surveyFile(out), JSON.stringify({ ...state, results, complete: false, began }));
  const { status, stderr } = await run(resume);
  expect(status).toBe(0);
  expect(stderr).toContain("share-weights:bits=2: it was begun more than once");
  expect(read().results.map(({ recipe }: { recipe: string }) => recipe)).toEqual([
    "original",
    "store-float16",
  ]);
  expect(read().began).toEqual({ "share-weights:bits=2": 2 });
});
