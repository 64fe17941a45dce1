/**
 * @file Processes that are interrupted and killed at every file that they write: what is left can
 * be resumed, and ends in the very rows and bytes of a run that nobody disturbed.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, rmSync, watch, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeFixtures } from "../cli/fixtures.ts";
import { temporaryFolder } from "../cli/run.ts";

const folder = temporaryFolder();
const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const model = folder.in("model.onnx");
const data = ["--data", `jsonl:${folder.in("data.jsonl")}`];
beforeAll(() => writeFixtures(folder));
afterAll(() => folder.close());

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts the program; `seen` is called for every line on stderr. */
function start(args: readonly string[], seen: (text: string) => void = () => {}) {
  const child = spawn(process.execPath, ["--import", "tsx", main, ...args]);
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (part) => {
    stdout += part;
  });
  child.stderr.on("data", (part) => {
    stderr += part;
    seen(String(part));
  });
  const ended = once(child, "exit").then(([status]): Ended => ({ status, stdout, stderr }));
  return { child, ended };
}

const finished = async (args: readonly string[]): Promise<Ended> => {
  const ended = await start(args).ended;
  expect(ended.status, ended.stderr).toBe(0);
  return ended;
};

/** Kills the child at the `count`-th change of a file in the folder; less often if it is done. */
function killAtChange(child: ChildProcess, count: number): () => void {
  let left = count;
  const watcher = watch(folder.path, { recursive: true }, () => {
    if (--left === 0) child.kill("SIGKILL");
  });
  return () => watcher.close();
}

/** What is measured by the clock differs from run to run. */
function untimed(row: Record<string, never>) {
  const { latency: _, delta, ease, marks, ...others } = row as Record<string, object>;
  return {
    ...others,
    ease: { ...ease, seconds: 0 },
    marks: { ...marks, speed: "?", ease: "?" },
    train: (delta as { train: unknown }).train,
  };
}

const stateOf = (out: string) => JSON.parse(readFileSync(`${out}/survey.json`, "utf8"));

test("a survey killed at any file that it writes ends in the same rows and models", async () => {
  const recipes = folder.in("recipes.txt");
  const lines = [
    "store-float16",
    "share-weights:bits=2",
    "prune-magnitude:sparsity=0.5 > share-weights:bits=3",
    "quantize-int8",
    "train:steps=20,holdout=0",
  ];
  writeFileSync(recipes, lines.join("\n"));
  const out = folder.in("survey");
  const settings = [...data, "--limit", "50", "--recipes", recipes, "--timing", "0.02s"];
  const begin = ["survey", model, ...settings, "--seed", "3", "--deterministic", "-o", out];
  const bare = ["survey", model, "-o", out, "--resume"];
  await finished(begin);
  const whole = stateOf(out);
  expect(whole.results).toHaveLength(6);
  const models = new Map(
    whole.results.slice(1).map((row: { file: string }) => [row.file, readFileSync(row.file)]),
  );
  let kills = 0;
  for (const changes of [1, 2, 3, 4, 5, 6, 9, 14]) {
    rmSync(out, { recursive: true });
    let rows = 0;
    for (let turn = 0; ; turn++) {
      // Before the first state is written there is nothing to go on with.
      const isBegun = existsSync(`${out}/survey.json`);
      const { child, ended } = start(isBegun ? bare : begin);
      // The last turns are left alone, or no turn that is killed early would ever end.
      const unwatch = turn < 4 ? killAtChange(child, changes + turn) : () => {};
      const { status, stderr } = await ended;
      unwatch();
      if (status === 0) break;
      expect([status, stderr.match(/tersor: .*/)?.[0]]).toEqual([null, undefined]);
      kills++;
      if (!existsSync(`${out}/survey.json`)) continue;
      const now = stateOf(out).results.length;
      expect(now).toBeGreaterThanOrEqual(rows);
      rows = now;
    }
    const state = stateOf(out);
    expect(state.complete).toBe(true);
    expect(state.results.map(untimed)).toEqual(whole.results.map(untimed));
    expect({ ...state.job }).toEqual(whole.job);
    for (const [file, bytes] of models) {
      expect(Buffer.compare(readFileSync(file as string), bytes as Buffer), String(file)).toBe(0);
    }
    expect(readdirSync(out).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  }
  expect(kills).toBeGreaterThan(8);
});

test("a recipe that trains twice, killed at any file that it writes, ends in the same bytes", async () => {
  const train = "train:steps=250,batch=8,holdout=0";
  const recipe = `${train} > prune-magnitude:sparsity=0.5 > ${train}`;
  const settings = [...data, "--recipe", recipe, "--timing", "0.02s", "--threads", "1"];
  const outputs = (name: string) => ["-o", folder.in(name)];
  await finished(["compress", model, ...settings, ...outputs("whole.onnx")]);
  const whole = readFileSync(folder.in("whole.onnx"));
  const out = folder.in("killed.onnx");
  let kills = 0;
  for (const changes of [1, 2, 3, 4, 6]) {
    rmSync(out, { force: true });
    for (let turn = 0; !existsSync(out); turn++) {
      const isBegun = existsSync(`${out}.job.json`);
      const own = isBegun ? ["--resume"] : settings;
      const { child, ended } = start(["compress", model, ...own, ...outputs("killed.onnx")]);
      const unwatch = turn < 4 ? killAtChange(child, changes + turn) : () => {};
      const { status, stderr } = await ended;
      unwatch();
      if (status === null) kills++;
      else expect(status, stderr).toBe(0);
    }
    expect(Buffer.compare(readFileSync(out), whole)).toBe(0);
  }
  expect(kills).toBeGreaterThan(5);
});

test.each([["SIGINT"], ["SIGTERM"]] as const)(
  "%s, twice at once, shows and saves what there is",
  async (signal) => {
    const recipes = folder.in("many.txt");
    writeFileSync(
      recipes,
      [2, 3, 4, 5, 6, 7, 8].map((bits) => `share-weights:bits=${bits}`).join("\n"),
    );
    const out = folder.in(`signal-${signal}`);
    const args = ["survey", model, ...data, "--recipes", recipes, "--timing", "0.5s", "-o", out];
    const { child, ended } = start(args, (text) => {
      if (!text.startsWith("share-weights:bits=3")) return;
      // As under npx: the terminal and npm both send it.
      child.kill(signal);
      child.kill(signal);
    });
    const { status, stdout, stderr } = await ended;
    expect(status, stderr).toBe(130);
    expect(stdout).toContain("Interrupted: 2 of 7 recipes were measured.");
    expect(existsSync(`${out}/report.html`)).toBe(true);
    const [, command] = stderr.split("Go on with:\n  ");
    expect(command).toMatch(
      /^node --import tsx (src|\S*\/src)\/cli\/main.ts survey .* --resume\n$/,
    );
    expect(stateOf(out)).toMatchObject({ complete: false });
  },
);
