/** @file A trial as a value: what decides its result is in the job, and nothing else is. */
import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { nodePlatform } from "../../src/node/platform.ts";
import { mnist } from "../../src/node.ts";
import { type Job, jobConflict, jobHash, jobOf, openJobOf } from "../../src/recipe/job.ts";
import type { Loaded } from "../../src/recipe/load.ts";
import { prepare, type Settings } from "../../src/recipe/prepare.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import { version } from "../../src/version.ts";
import { temporaryFolder } from "../cli/run.ts";

const model = { hash: "a".repeat(64) };
const sha = expect.stringMatching(/^[0-9a-f]{64}$/);
const settings: Settings = {
  data: mnist("test", { mean: [0.5], limit: 40 }),
  calib: "mnist:train",
  dims: { N: 3 },
};
const open = (changes: Settings = {}, recipes = ["store-float16"]) =>
  openJobOf(
    model,
    nodePlatform,
    { ...settings, ...changes },
    recipes.map((text) => parseRecipe(text)),
  );

describe("job", () => {
  test("is plain data, with every default spelt out", async () => {
    const job: Job = jobOf(await open(), parseRecipe("share-weights:bits=4,init=linear > pack"));
    expect(JSON.parse(JSON.stringify(job))).toEqual(job);
    expect(job).toMatchObject({
      model: model.hash,
      recipe: "share-weights:bits=4 > pack",
      data: { spec: "mnist:test", options: { mean: [0.5], limit: 40 }, content: sha },
      calib: { spec: "mnist:train", options: {}, content: sha },
      teacher: null,
      seed: 1,
      dims: { N: 3 },
      runtime: "node",
      threads: 1,
      timingSeconds: 2,
      simplify: true,
      training: null,
    });
    const { version: own } = JSON.parse(readFileSync("package.json", "utf8"));
    expect(version).toBe(own);
    expect(job.versions.tersor).toBe(own);
    expect(job.versions.engine).toMatch(/^onnxruntime-node \d/);
  });

  test("its hash depends on every field, not on their order", async () => {
    const job = jobOf(await open(), parseRecipe("pack"));
    const shuffled = Object.fromEntries(Object.entries(job).reverse()) as unknown as Job;
    expect(await jobHash(job)).toMatch(/^[0-9a-f]{64}$/);
    expect(await jobHash(shuffled)).toBe(await jobHash(job));
    // printf '{"b":[1,{"c":"x","d":null}]}' | sha256sum
    expect(await jobHash({ b: [1, { d: null, c: "x" }], a: undefined } as never)).toBe(
      "484f9b407e981b5bd71a3b3d8a37d4914d98cd98418c76d79245c27dc41a9517",
    );
    const changed: Partial<Job>[] = [
      { model: "b" },
      { recipe: "" },
      { data: null },
      { calib: { ...job.calib!, options: { limit: 2 } } },
      { metric: "detection" },
      { teacher: "c" },
      { seed: 2 },
      { dims: {} },
      { runtime: "web" },
      { threads: 2 },
      { timingSeconds: 1 },
      { simplify: false },
      { training: { threads: 2, computeChoice: null } },
      { versions: { ...job.versions, tersor: "0.0.9" } },
    ];
    expect(changed.map((change) => Object.keys(change)[0]).sort()).toEqual(Object.keys(job).sort());
    const hashes = await Promise.all(changed.map((change) => jobHash({ ...job, ...change })));
    expect(new Set([...hashes, await jobHash(job)]).size).toBe(changed.length + 1);
  });

  test("training: records are set aside, and threads and forms decide the last bits", async () => {
    const { training } = await open({ threads: 3, deterministic: true }, ["pack", "train"]);
    expect(training).toEqual({ threads: 3, computeChoice: { shape: "workers", forms: {} } });
    const { training: byClock } = await open({}, ["prune-magnitude:steps=2"]);
    expect(byClock).toEqual({ threads: nodePlatform.cores, computeChoice: null });
    expect((await open({}, ["quantize-rate"])).training).toBeNull();
  });

  test.each<[string, Settings, string[], string, string, string]>([
    ["seed", { seed: 2 }, [], "seed", "2", "1"],
    ["name of data", { data: "mnist:train" }, [], "data", "mnist:train", "mnist:test"],
    ["no calib", { calib: null }, [], "calib", "none", "mnist:train"],
    ["limit", { data: mnist("test", { mean: [0.5], limit: 9 }) }, [], "data limit", "9", "40"],
    ["no mean", { data: mnist("test", { limit: 40 }) }, [], "data mean", "none", "[0.5]"],
    ["sizes", { dims: { N: 4 } }, [], "dims N", "4", "3"],
    ["threads", { threads: 2 }, [], "threads", "2", "1"],
    ["timing", { timingSeconds: 0.5 }, [], "timingSeconds", "0.5", "2"],
    ["training", { threads: 1 }, ["train"], "training threads", "1", "none"],
  ])("a conflict is called by its name: %s", async (_, changes, recipes, field, found, given) => {
    const stored = JSON.parse(JSON.stringify(await open(changes, recipes)));
    const job = await open();
    expect(jobConflict(stored, job)).toEqual({ field, found, given });
    expect(jobConflict(stored, await open(changes, recipes))).toBeNull();
  });

  test("data are the same wherever they lie, and others if their files have changed", async () => {
    const folder = temporaryFolder();
    try {
      const [here, there] = [`csv:${folder.in("a.csv")}`, `csv:${folder.in("b.csv")}`];
      writeFileSync(folder.in("a.csv"), "x,label\n1,0\n");
      writeFileSync(folder.in("b.csv"), "x,label\n1,0\n");
      const stored = JSON.parse(JSON.stringify(await open({ data: here })));
      expect(jobConflict(stored, await open({ data: there }))).toBeNull();
      writeFileSync(folder.in("a.csv"), "x,label\n2,0\n");
      expect(jobConflict(stored, await open({ data: here }))).toMatchObject({
        field: "data content",
        found: stored.data.content,
      });
      // A source without files is known by its name only.
      const none = await open({ data: `csv:${folder.in("none.csv")}` });
      expect(none.data?.content).toBeNull();
      const other = await open({ data: `csv:${folder.in("nothing.csv")}` });
      expect(jobConflict(none, other)?.field).toBe("data");
    } finally {
      folder.close();
    }
  });

  test("what is no job is in conflict with every job", async () => {
    for (const stored of [undefined, null, 7, "job", {}, []]) {
      expect(jobConflict(stored, await open())).toMatchObject({ field: "model", found: "none" });
    }
  });

  test("says what the environment is made with", async () => {
    const { load } = await import("../../src/node.ts");
    const loaded: Loaded = await load("examples/lenet5.onnx");
    const given = { threads: 2, seed: 5, deterministic: true } as const;
    const env = await prepare(loaded, nodePlatform, given);
    const job = await openJobOf(loaded, nodePlatform, given, [parseRecipe("train")]);
    expect([job.seed, job.threads, job.runtime]).toEqual([env.seed, env.threads, env.runtime.name]);
    expect(job.training).toEqual({ threads: env.trainThreads, computeChoice: env.computeChoice });
  });
});
