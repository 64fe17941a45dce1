/** @file --on: rows of a target that nothing here can time say so, and hold no times. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeFixtures } from "./fixtures.ts";
import { run, temporaryFolder } from "./run.ts";

const folder = temporaryFolder();
const model = folder.in("model.onnx");
beforeAll(() => writeFixtures(folder));
afterAll(() => folder.close());

const recipe = ["--recipe", "quantize-weights:kernel=integer,rescue=false", "--timing", "0.02s"];

test("compress", async () => {
  const args = ["-o", folder.in("gpu.onnx"), "--on", "web-webgpu", "--json"];
  const { status, stdout, stderr } = await run(["compress", model, ...recipe, ...args]);
  expect(status).toBe(0);
  const { result } = JSON.parse(stdout);
  expect([result.latency, result.delta.infer, result.marks.speed]).toEqual([null, null, "?"]);
  expect(result.warnings).toEqual([
    expect.stringMatching(/^speeds are not measured.*web-webgpu.*published figures/),
    expect.stringMatching(/^on web-webgpu 8-bit weights in MatMulNBits.*silently wrong/),
  ]);
  for (const text of result.warnings) expect(stderr.split(text).length).toBe(2);
});

test("bench and inspect", async () => {
  const bench = await run(["bench", model, "--on", "web-webgpu", "--json"]);
  const [row] = JSON.parse(bench.stdout).runs;
  expect([row.latency, row.ratio]).toEqual([null, null]);
  expect(bench.stderr).toMatch(/published figures/);
  const inspect = await run(["inspect", model, "--on", "arm", "--json"]);
  expect(JSON.parse(inspect.stdout).totals.ms).toBeNull();
  expect(inspect.stderr).toMatch(/published figures/);
});

test("an unknown target is refused", async () => {
  const { status, stderr } = await run(["bench", model, "--on", "web-webgp"]);
  expect(status).toBe(2);
  expect(stderr).toMatch(/--on.*Did you mean "web-webgpu"/);
});
