/** @file --no-measure writes the same model, and measures nothing. */
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeFixtures } from "./fixtures.ts";
import { run, temporaryFolder } from "./run.ts";

const folder = temporaryFolder();
const model = folder.in("model.onnx");
beforeAll(() => writeFixtures(folder));
afterAll(() => folder.close());

const recipe = ["--recipe", "quantize-weights:rescue=false", "--timing", "0.02s", "--json"];

test("compress", async () => {
  const [whole, bare] = [folder.in("whole.onnx"), folder.in("bare.onnx")];
  await run(["compress", model, ...recipe, "-o", whole]);
  const { status, stdout } = await run(["compress", model, ...recipe, "--no-measure", "-o", bare]);
  expect(status).toBe(0);
  expect(readFileSync(bare).equals(readFileSync(whole))).toBe(true);
  const { result } = JSON.parse(stdout);
  const raw = readFileSync(bare).byteLength;
  expect(result.bytes).toEqual({ raw, gzip: null, brotli: null, packed: null });
  expect([result.latency, result.metric, result.delta.infer]).toEqual([null, null, null]);
  expect(result.marks).toMatchObject({ speed: "?", performance: "?" });
});

test("survey", async () => {
  const recipes = folder.in("recipes.json");
  writeFileSync(recipes, '["store-float16"]');
  const out = ["-o", folder.in("out"), "--json", "--no-measure"];
  const { stdout } = await run(["survey", model, "--recipes", recipes, ...out]);
  const [original, half] = JSON.parse(stdout).results;
  expect([original.latency, half.latency, half.bytes.brotli]).toEqual([null, null, null]);
  expect(half.bytes.raw).toBeLessThan(original.bytes.raw);
});

test("targets that would have to be measured are refused", async () => {
  const args = [...recipe, "--no-measure", "--target", "size<=1MB, speedup>=2"];
  const { status, stderr } = await run(["compress", model, ...args, "-o", folder.in("no.onnx")]);
  expect(status).toBe(2);
  expect(stderr).toMatch(/speedup>=2.*Leave out --no-measure/);
});
