/** @file Trials in several processes give the rows of one process, whatever happens to them. */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { processes } from "../../src/cluster/processes.ts";
import { load, survey } from "../../src/node.ts";
import { writeFixtures } from "../cli/fixtures.ts";
import { temporaryFolder } from "../cli/run.ts";
import { childrenOf, cpuSecondsOf, plainRow } from "../support/processes.ts";

const folder = temporaryFolder();
beforeAll(() => writeFixtures(folder));
afterAll(() => folder.close());

const recipes = [
  ...["simplify", "share-weights:bits=2", "quantize-int8", "train", "quantize-weights:bits=4"],
  ...["store-float16", "prune-magnitude > train", "factor-svd"],
];
const settings = () => ({
  data: `jsonl:${folder.in("data.jsonl")}`,
  ...{ timingSeconds: 0.05, deterministic: true, threads: 1, recipes },
});

describe("jobs", () => {
  test("give the same rows and bytes as one process, all timed", async () => {
    const model = await load(folder.in("model.onnx"));
    const [bytesOfOne, bytesOfTwo] = [new Map<string, string>(), new Map<string, string>()];
    const keep =
      (all: Map<string, string>) => (row: { recipe: string }, bytes: Uint8Array | null) =>
        void all.set(row.recipe, Buffer.from(bytes ?? []).toString("base64"));
    const one = await survey(model, { ...settings(), onRow: keep(bytesOfOne) });
    const workers = processes({ jobs: 2 });
    const two = await survey(model, { ...settings(), workers, onRow: keep(bytesOfTwo) });
    expect(two.results.map(plainRow)).toEqual(one.results.map(plainRow));
    expect(new Map([...bytesOfTwo].sort())).toEqual(new Map([...bytesOfOne].sort()));
    expect(two.left).toEqual(one.left);
    for (const { recipe, latency, delta } of two.results) {
      expect([recipe, latency?.median, delta.infer]).toEqual([
        recipe,
        expect.any(Number),
        expect.any(Number),
      ]);
    }
    expect(childrenOf(process.pid)).toEqual([]);
  });

  test.each([1, 2])("of %d processes that die the first loses nothing", async (deaths) => {
    const model = await load(folder.in("model.onnx"));
    const killed: number[] = [];
    // What has computed for so long was ready, and is at work on the long recipe.
    const timer = setInterval(() => {
      for (const pid of childrenOf(process.pid)) {
        if (killed.length === deaths || killed.includes(pid) || cpuSecondsOf(pid) < 8) continue;
        killed.push(pid);
        process.kill(pid, "SIGKILL");
      }
    }, 50);
    const long = `train:epochs=${deaths === 1 ? 2000 : 20000}`;
    const { results, left } = await survey(model, {
      ...settings(),
      recipes: ["simplify", long, "store-float16"],
      workers: processes({ jobs: 1 }),
    });
    clearInterval(timer);
    expect(killed).toHaveLength(deaths);
    const kept = deaths === 1 ? ["original", "simplify", long] : ["original", "simplify"];
    expect(results.map(({ recipe }) => recipe)).toEqual([...kept, "store-float16"]);
    if (deaths === 1) return expect(left).toEqual([]);
    expect(left).toEqual([
      {
        recipe: long,
        reason: "its process was ended by SIGKILL (too little memory, or someone killed it)",
        later: false,
      },
    ]);
  });
});

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

describe.each(["SIGINT", "SIGKILL"] as const)("%s of the command", (signal) => {
  test("leaves no process, and --resume has what was measured", async () => {
    const out = folder.in(signal);
    const args = [
      ...["survey", folder.in("model.onnx"), "--data", `jsonl:${folder.in("data.jsonl")}`],
      ...["--timing", "0.3s", "--jobs", "2", "-o", out],
    ];
    const child = spawn(process.execPath, ["--import", "tsx", main, ...args], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let workers: number[] = [];
    child.stderr.on("data", (text: Buffer) => {
      if (!String(text).includes("share-weights") || workers.length > 0) return;
      workers = childrenOf(child.pid!, "trial-worker");
      child.kill(signal);
    });
    const status = await new Promise((resolve) => child.on("exit", resolve));
    expect(status).toBe(signal === "SIGINT" ? 130 : null);
    expect(workers).toHaveLength(2);
    for (let i = 0; i < 50 && workers.some(isAlive); i++) await sleep(100);
    expect(workers.filter(isAlive)).toEqual([]);
    const state = JSON.parse(readFileSync(`${out}/survey.json`, "utf8"));
    expect(state.results.length).toBeGreaterThan(1);
    expect(readdirSync(out).filter((name) => name.endsWith(".onnx")).length).toBeGreaterThan(0);
  });
});

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
