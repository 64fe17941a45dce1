/** @file A search that is killed again and again ends as one that was left alone. */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Result } from "../../src/measure/measurement.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { writeFixtures } from "../cli/fixtures.ts";
import { temporaryFolder } from "../cli/run.ts";

const folder = temporaryFolder();
beforeAll(() => writeFixtures(folder));
afterAll(() => folder.close());

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const begun = (out: string) => [
  ...["search", folder.in("model.onnx"), "--data", `jsonl:${folder.in("data.jsonl")}`],
  ...[
    "--target",
    "size<=600, flips<=30",
    "--no-train",
    "--timing",
    "0.02s",
    "--trials",
    "12",
    "-o",
    out,
  ],
];

/** Runs the command line in a process of its own; killed after `ms`, its status is null. */
function processOf(args: readonly string[], ms = Infinity): Promise<number | null> {
  const child = spawn(process.execPath, ["--import", "tsx", main, ...args, "--quiet"], {
    stdio: "ignore",
  });
  const timer = ms < Infinity ? setTimeout(() => child.kill("SIGKILL"), ms) : undefined;
  return new Promise((resolve) => {
    child.on("exit", (status) => {
      clearTimeout(timer);
      resolve(status);
    });
  });
}

interface Line {
  readonly screened?: string;
  readonly trial?: string;
  readonly began?: string;
}

const linesOf = (out: string): Line[] =>
  readFileSync(`${out}/journal.jsonl`, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

test("twenty kills", { timeout: 1_200_000 }, async () => {
  const [whole, killed] = [folder.in("whole"), folder.in("killed")];
  const began = performance.now();
  expect([0, 1]).toContain(await processOf(begun(whole)));
  const usual = performance.now() - began;
  const random = createRandom(9);
  let kills = 0;
  let args: readonly string[] = begun(killed);
  let status: number | null = null;
  // Moments from the start of the process to a little after it would be done.
  for (; kills < 20; kills++) {
    status = await processOf(args, 2000 + random.float() * 0.4 * usual);
    if (readdirSync(folder.in("")).includes("killed")) {
      args = ["search", folder.in("model.onnx"), "-o", killed, "--resume"];
    }
    if (status !== null) break;
  }
  if (status === null) status = await processOf(args);
  expect([0, 1]).toContain(status);
  const read = (out: string) => JSON.parse(readFileSync(`${out}/search.json`, "utf8"));
  const [expected, found] = [read(whole), read(killed)];
  const kept = ({ recipe, bytes, metric }: Result) => [
    recipe,
    bytes.raw,
    metric?.flips,
    metric?.drop,
  ];
  expect(found.results.map(kept)).toEqual(expected.results.map(kept));
  // Nothing that was measured was measured again, and nothing partial is left.
  const lines = linesOf(killed);
  const keys = lines.flatMap(({ screened }) => screened ?? []);
  expect(new Set(keys).size).toBe(keys.length);
  const trials = lines.flatMap(({ trial }) => trial ?? []);
  expect(new Set(trials).size).toBe(trials.length);
  expect(keys).toEqual(linesOf(whole).flatMap(({ screened }) => screened ?? []));
  const names = [...readdirSync(killed), ...readdirSync(`${killed}/trials`)];
  expect(names.filter((name) => name.endsWith(".tmp"))).toEqual([]);
  console.log(`${kills} kills, ${keys.length} candidates, ${trials.length} trials`);
});
