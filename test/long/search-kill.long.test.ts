/** @file A search that is killed again and again ends as one that was left alone. */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
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
const begun = (out: string, ...more: readonly string[]) => [
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
    ...more,
  ],
];

/** Runs the command line in a process of its own; killed when `isTime`, its status is null. */
function processOf(args: readonly string[], isTime?: () => boolean): Promise<number | null> {
  const child = spawn(process.execPath, ["--import", "tsx", main, ...args, "--quiet"], {
    stdio: "ignore",
  });
  const timer = isTime && setInterval(() => isTime() && child.kill("SIGKILL"), 3);
  return new Promise((resolve) => {
    child.on("exit", (status) => {
      clearInterval(timer);
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

const whole = folder.in("whole");

test("a search that is left alone", { timeout: 600_000 }, async () => {
  expect([0, 1]).toContain(await processOf(begun(whole)));
});

test.each([
  { most: 20, more: [] },
  { most: 8, more: ["--jobs", "2"] },
])("$most kills $more", { timeout: 1_800_000 }, async ({ most, more }) => {
  const killed = folder.in(`killed${more.join("")}`);
  const random = createRandom(9);
  const journal = `${killed}/journal.jsonl`;
  const written = () =>
    existsSync(journal) ? readFileSync(journal, "utf8").split("\n").length : 0;
  let kills = 0;
  let args: readonly string[] = begun(killed, ...more);
  let status: number | null = null;
  // After up to six more lines of the journal, and up to 40 ms, in which something is at work.
  for (; kills < most && status === null; kills++) {
    const [lines, delay] = [written() + 1 + random.int(6), 40 * random.float()];
    let since = Infinity;
    status = await processOf(args, () => {
      if (since === Infinity && written() >= lines) since = performance.now();
      return performance.now() - since >= delay;
    });
    args = ["search", folder.in("model.onnx"), "-o", killed, "--resume"];
  }
  expect(kills).toBe(most);
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
  // With several processes they end in another order.
  const keysOfOne = linesOf(whole).flatMap(({ screened }) => screened ?? []);
  if (more.length === 0) expect(keys).toEqual(keysOfOne);
  else expect(keys.toSorted()).toEqual(keysOfOne.toSorted());
  const best = (out: string) => readFileSync(`${out}/best.onnx`);
  expect(best(killed).equals(best(whole))).toBe(true);
  const names = [...readdirSync(killed), ...readdirSync(`${killed}/trials`)];
  expect(names.filter((name) => name.endsWith(".tmp"))).toEqual([]);
  console.log(`${kills} kills, ${keys.length} candidates, ${trials.length} trials`);
});
