/** @file A search writes its best model, its trials and a journal; a missed target is status 1. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Result } from "../../src/measure/measurement.ts";
import { writeFixtures } from "./fixtures.ts";
import { run, temporaryFolder } from "./run.ts";

const folder = temporaryFolder();
const model = folder.in("model.onnx");
const data = ["--data", `jsonl:${folder.in("data.jsonl")}`, "--limit", "40", "--timing", "0.02s"];
beforeAll(() => writeFixtures(folder));
afterAll(() => folder.close());

const searched = (out: string, target: string, more: readonly string[] = []) =>
  run([
    ...["search", model, ...data, "--target", target, "--no-train", "--strategy", "random"],
    ...["--budget", "60s", "-o", out, "--json", ...more],
  ]);

describe("search", () => {
  test("misses a target: status 1, the nearest rows are named, the best is written", async () => {
    const out = folder.in("missed");
    const { status, stdout, stderr } = await searched(out, "size<=1", ["--trials", "2"]);
    expect(status).toBe(1);
    const { command, results, pareto } = JSON.parse(stdout);
    expect(command).toBe("search");
    expect(results).toHaveLength(3);
    expect(pareto.length).toBeGreaterThan(0);
    expect(stderr).toMatch(/No recipe met size<=1. Nearest:\n {2}.*: size<=1: it is \d+ bytes/);
    const smallest = Math.min(...results.slice(1).map((row: Result) => row.bytes.raw));
    expect(readFileSync(`${out}/best.onnx`).byteLength).toBe(smallest);
    expect(readdirSync(`${out}/trials`)).toHaveLength(2);
    const lines = readFileSync(`${out}/optuna.log`, "utf8").trim().split("\n");
    expect(lines.map((line) => JSON.parse(line).op_code)).toContain(6);

    // A resumed search has nothing left to do, and says the same.
    const again = await run(["search", model, "-o", out, "--resume", "--json"]);
    expect(again.status).toBe(1);
    const second = JSON.parse(again.stdout).results;
    expect(second.map((row: Result) => row.recipe)).toEqual(
      results.map((row: Result) => row.recipe),
    );
    expect(second[2].metric).toEqual(results[2].metric);
    expect(again.stderr).toMatch(/2 trials and 0 candidates are kept/);
  });

  test("without a target the front is looked for: status 0", async () => {
    const { status, stdout, stderr } = await run([
      ...["search", model, ...data, "--no-train", "--strategy", "random", "--trials", "2"],
      ...["-o", folder.in("front"), "--json"],
    ]);
    expect(status).toBe(0);
    const { results, hypervolume } = JSON.parse(stdout);
    expect(results).toHaveLength(3);
    expect(hypervolume).toBeGreaterThan(0);
    expect(stderr).toMatch(/of them no other beats; hypervolume 0\.\d{3}/);
    const lines = readFileSync(`${folder.in("front")}/optuna.log`, "utf8").split("\n");
    expect(JSON.parse(lines[0]).directions).toEqual([1, 1]);
  });

  test("meets a target: status 0", async () => {
    const { status, stderr } = await searched(folder.in("met"), "size<=1MB", ["--trials", "1"]);
    expect([status, /Best: simplify -> .*best.onnx/.test(stderr)]).toEqual([0, true]);
  });

  test.each([
    [["search", model, ...data, "--goal", "sise"], /Did you mean "size"/],
    [["search", model, "--target", "size<=1"], /no data to judge on.*--data/],
    [["search", model, ...data, "--target", "sise<=1"], /Did you mean "size"/],
    [["search", model, ...data, "--target", "accuracy>=9x9"], /no number/],
    [["search", model, "--resume", "-o", folder.in("none")], /nothing to resume/],
  ])("refuses %j in one line and writes nothing", async (args, message) => {
    const { status, stderr } = await run(
      [...args, "-o", folder.in("none")].slice(0, args.includes("-o") ? args.length : undefined),
    );
    expect(status).toBe(2);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(stderr).toMatch(message);
    expect(existsSync(folder.in("none"))).toBe(false);
  });
});
