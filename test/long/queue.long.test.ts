/** @file Trials over a queue: workers that die or stand still lose none, and none is done twice. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { queued } from "../../src/cluster/queued.ts";
import { load, search, survey } from "../../src/node.ts";
import { writeFixtures } from "../cli/fixtures.ts";
import { run, temporaryFolder } from "../cli/run.ts";
import { childrenOf, plainRow } from "../support/processes.ts";
import { redisProgram, startRedis, type TestServer } from "../support/redis.ts";

if (!redisProgram) console.log("skipped: neither redis-server nor valkey-server is installed");

const folder = temporaryFolder();
const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const recipes = [
  ...["simplify", "share-weights:bits=2", "quantize-int8", "train:epochs=40"],
  ...["train:epochs=41", "train:epochs=42", "store-float16", "train:epochs=43"],
  ...["prune-magnitude > train:epochs=40", "quantize-weights:bits=4", "share-weights:bits=3"],
];
const settings = () => ({
  data: `jsonl:${folder.in("data.jsonl")}`,
  ...{ timingSeconds: 0.05, deterministic: true, threads: 1, recipes },
});

describe.skipIf(!redisProgram)("a queue", () => {
  let server: TestServer;
  const workers: ChildProcess[] = [];
  /** What each worker said. */
  const said: string[] = [];
  beforeAll(async () => {
    writeFixtures(folder);
    server = await startRedis(redisProgram!);
  });
  afterAll(() => {
    for (const worker of workers) worker.kill("SIGKILL");
    server.stop();
    folder.close();
  });

  function startWorker(store: string): ChildProcess {
    // Each in a folder of its own, as on machines that do not have the data.
    const cwd = folder.in(`machine-${workers.length}`);
    mkdirSync(cwd);
    const tsx = import.meta.resolve("tsx");
    const args = ["worker", "--queue", server.url, "--store", store, "--lock", "3s"];
    const child = spawn(process.execPath, ["--import", tsx, main, ...args], {
      stdio: ["ignore", "ignore", "pipe"],
      cwd,
    });
    const at = workers.push(child) - 1;
    said.push("");
    child.stderr.on("data", (text: Buffer) => {
      said[at] += text;
    });
    return child;
  }

  test("three workers, one killed, one that stands still past its lock", async () => {
    const model = await load(folder.in("model.onnx"));
    const local = await survey(model, settings());
    const store = folder.in("store");
    const [killed, stopped] = [startWorker(store), startWorker(store), startWorker(store)];
    const told: string[] = [];
    const orphans: number[] = [];
    let events = 0;
    const { results, left } = await survey(model, {
      ...settings(),
      workers: queued({ url: server.url, store }),
      onRow(row, bytes) {
        if (bytes) told.push(row.recipe);
        if (told.length === 2 && events++ === 0) {
          orphans.push(...childrenOf(killed.pid!));
          killed.kill("SIGKILL");
        }
        if (told.length === 3 && events++ === 1) {
          stopped.kill("SIGSTOP");
          setTimeout(() => stopped.kill("SIGCONT"), 12_000);
        }
      },
    });
    console.log(said.join("\n---\n"));
    expect(left).toEqual(local.left);
    expect(told.toSorted()).toEqual([...new Set(told)].toSorted());
    const names = local.results.slice(1).map(({ recipe }) => recipe);
    expect(told.toSorted()).toEqual(names.toSorted());
    expect(results.map(plainRow)).toEqual(local.results.map(plainRow));
    expect(killed.signalCode).toBe("SIGKILL");
    // The killed worker's own processes went with it.
    expect(orphans.length).toBe(1);
    expect(orphans.filter((pid) => existsSync(`/proc/${pid}/exe`))).toEqual([]);
    expect(readdirSync(`${store}/results`)).toHaveLength(names.length);

    // What is in the store is not computed again, so no worker is needed.
    for (const worker of workers) worker.kill("SIGKILL");
    const again = await survey(model, {
      ...settings(),
      recipes: names,
      workers: queued({ url: server.url, store }),
    });
    expect(again.results.map(plainRow)).toEqual(results.map(plainRow));
  });

  test("a search: the course of one process, whatever happens to the workers", async () => {
    const model = await load(folder.in("model.onnx"));
    const { recipes: _, ...common } = settings();
    const own = { ...common, targets: "size<=600, flips<=30", trials: 6, trains: false } as const;
    const course: string[] = [];
    const local = await search(model, { ...own, onTrial: (recipe) => void course.push(recipe) });
    const store = folder.in("search-store");
    const [killed, stopped] = [startWorker(store), startWorker(store), startWorker(store)];
    const keys: string[] = [];
    const begun: string[] = [];
    const found = await search(model, {
      ...own,
      workers: queued({ url: server.url, store }),
      onTrial: (recipe) => void begun.push(recipe),
      onScreened(key) {
        if (keys.push(key) === 10) killed.kill("SIGKILL");
        if (keys.length !== 20) return;
        stopped.kill("SIGSTOP");
        setTimeout(() => stopped.kill("SIGCONT"), 12_000);
      },
    });
    console.log(`${keys.length} screened`, said.slice(-3).join("\n---\n"));
    expect(killed.signalCode).toBe("SIGKILL");
    expect(new Set(keys).size).toBe(keys.length);
    expect(begun).toEqual(course);
    expect(found.results.map(plainRow)).toEqual(local.results.map(plainRow));
    expect([found.best.recipe, found.screened]).toEqual([local.best.recipe, local.screened]);
    // A trial for each row, and what was screened.
    const measured = found.results.length - 1 + found.left.length;
    expect(readdirSync(`${store}/results`).length).toBeGreaterThanOrEqual(measured);
  });

  test("the command says where it cannot reach a server, or what a queue cannot carry", async () => {
    const args = ["survey", folder.in("model.onnx"), "-o", folder.in("out")];
    const far = await run([...args, "--queue", "redis://127.0.0.1:1"]);
    expect([far.status, far.stderr]).toEqual([2, expect.stringContaining("no server answers")]);
    const odd = await run([...args, "--queue", "http://x"]);
    expect([odd.status, odd.stderr]).toEqual([2, expect.stringContaining("redis://host:port")]);
    const queue = ["--queue", server.url, "--data", "./data.mjs"];
    const module = await run([...args, ...queue]);
    expect(module.status).toBe(2);
  });
});
