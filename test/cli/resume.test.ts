/** @file A survey that ends early says so, keeps what it measured, and goes on as it was begun. */
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { earlierRows, stateText } from "../../src/cli/survey-state.ts";
import { lenet } from "../report/fixture.ts";
import { linear } from "../support/tiny.ts";
import { writeFixtures } from "./fixtures.ts";
import { type Ran, run, temporaryFolder } from "./run.ts";

const folder = temporaryFolder();
const model = folder.in("model.onnx");
const data = `jsonl:${folder.in("data.jsonl")}`;
const recipes = folder.in("recipes.txt");
const names = ["store-float16", "share-weights:bits=2", "quantize-weights"];
const first = folder.in("first");
const flags = ["--data", data, "--limit", "40", "--seed", "3", "--recipes", recipes];
const begun = ["survey", model, ...flags, "--timing", "0.02s", "-o", first];
/** What an interrupted survey wrote; its folder holds two of three trials. */
let ran: Ran;
beforeAll(async () => {
  writeFixtures(folder);
  writeFileSync(recipes, names.join("\n"));
  ran = await interrupted(begun, /^share-weights/m);
});
afterAll(() => folder.close());

/** A copy of that folder, for each test. */
let out = "";
let count = 0;
beforeEach(() => {
  out = folder.in(`out-${++count}`);
  cpSync(first, out, { recursive: true });
});

const bare = () => ["survey", model, "-o", out, "--resume"];
const stateOf = () => JSON.parse(readFileSync(`${out}/survey.json`, "utf8"));
const recipesOf = (rows: { recipe: string }[]) => rows.map(({ recipe }) => recipe);
const goOn = (args: readonly string[]) => `tersor ${args.join(" ")}`;

/** Runs and interrupts as soon as stderr matches. */
function interrupted(args: readonly string[], at: RegExp): Promise<Ran> {
  const controller = new AbortController();
  let lines = "";
  return run(args, controller.signal, (text) => {
    lines += text;
    if (at.test(lines)) controller.abort();
  });
}

describe("an interrupted survey", () => {
  test("prints and writes what it has, and says how to go on", () => {
    const { status, stdout, stderr } = ran;
    expect(status).toBe(130);
    expect(stdout).toContain("share-weights:bits=2");
    expect(stdout).not.toContain("quantize-weights");
    expect(stdout).toContain("Interrupted: 2 of 3 recipes were measured.");
    for (const file of ["report.html", "report.md", "pareto.svg"]) {
      expect(existsSync(`${out}/${file}`), file).toBe(true);
    }
    expect(readFileSync(`${out}/report.md`, "utf8")).toContain("Interrupted: 2 of 3 recipes");
    expect(stderr.split("\n").slice(-3)).toEqual([
      `tersor: aborted: survey: was interrupted, 2 of 3 trials are saved in ${first}. Go on with:`,
      `  ${goOn([...begun, "--resume"])}`,
      "",
    ]);
    const state = stateOf();
    expect(state.complete).toBe(false);
    expect(recipesOf(state.results)).toEqual(["original", ...names.slice(0, 2)]);
  });

  test("with --json prints the one object, of what it has", async () => {
    truncateSync(`${out}/store-float16.onnx`, 100);
    const { status, stdout } = await interrupted([...bare(), "--json"], /^store-float16/m);
    expect(status).toBe(130);
    const printed = JSON.parse(stdout);
    expect(Object.keys(printed)).toEqual(["command", "model", "results", "pareto"]);
    expect(recipesOf(printed.results)).toEqual(["original", ...names.slice(0, 2)]);
  });

  test("goes on with nothing but --resume: data, limit, seed and recipes are the first run's", async () => {
    const before = stateOf();
    const { status, stderr } = await run(bare());
    expect(status, stderr).toBe(0);
    expect(stderr).toContain("2 trials of an earlier run are kept");
    const after = stateOf();
    expect(after.complete).toBe(true);
    expect(recipesOf(after.results)).toEqual(["original", ...names]);
    for (const row of before.results.slice(1)) row.file = row.file.replace(first, out);
    // Milliseconds are on the basis of the original, which was timed again; speed-ups stay.
    const still = ({ latency: _, ...row }: { latency: unknown }) => row;
    expect(after.results.slice(1, 3).map(still)).toEqual(before.results.slice(1).map(still));
    // A fifth of the 40 records calibrates.
    expect(after.results[3]).toMatchObject({ seed: 3, metric: { n: 32 } });
    expect(after.job).toEqual(before.job);
    expect(after.job).toMatchObject({ seed: 3, data: { spec: data, options: { limit: 40 } } });
    expect(after.flags).toEqual(before.flags);
  });

  test("may be told again what it was told, or what is the default anyway", async () => {
    const moved = { ...stateOf(), cwd: "/elsewhere" };
    writeFileSync(`${out}/survey.json`, JSON.stringify(moved));
    const again = [...bare(), "--seed", "3", "--data", data, "--threads", "1"];
    const { stderr } = await interrupted(again, /trials of an earlier run are kept/);
    expect(stderr).toContain("2 trials of an earlier run are kept");
    expect(stderr).toContain("was begun in /elsewhere: relative paths in its flags are from there");
  });

  test("refuses other settings, by the name of the flag", async () => {
    const before = stateOf();
    const others = folder.in("others.txt");
    const beyond = `jsonl:${folder.in("beyond.jsonl")}`;
    writeFileSync(others, `${names[0]}\nshare-weights:bits=3\n`);
    const refused = (flag: string, was: string, is: string) =>
      `tersor: bad-resume: ${flag}: the run in ${out}/survey.json was begun with ${was}, now it is ${is}. Leave ${flag} out, or begin anew without --resume (with --force, or another -o).\n`;
    for (const [args, message] of [
      [["--limit", "30"], refused("--limit", "40", "30")],
      [["--seed", "2"], refused("--seed", "3", "2")],
      [["--threads", "2"], refused("--threads", "1", "2")],
      [["--timing", "1s"], refused("--timing", "0.02", "1")],
      [["--calib", beyond], refused("--calib", "none", beyond)],
      [["--label-offset", "1"], refused("--label-offset", "none", "1")],
      [["--recipes", others], refused("--recipes", names[1], "share-weights:bits=3")],
    ] as const) {
      expect(await run([...bare(), ...args])).toEqual({ status: 2, stdout: "", stderr: message });
    }
    expect(stateOf()).toEqual(before);
  });

  test("notices changed data, recipes and models", async () => {
    const anew = "begin anew without --resume (with --force, or another -o)";
    const changed = async (file: string, text: string | Uint8Array, message: string) => {
      const old = readFileSync(file);
      writeFileSync(file, text);
      const { status, stderr } = await run(bare());
      writeFileSync(file, old);
      expect([status, stderr]).toEqual([2, `tersor: bad-resume: ${message}\n`]);
    };
    const since = `has changed since the run in ${out}/survey.json was begun. Restore it, or ${anew}.`;
    const lines = readFileSync(folder.in("data.jsonl"), "utf8").split("\n");
    await changed(
      folder.in("data.jsonl"),
      lines.toReversed().join("\n"),
      `--data ${data}: ${since}`,
    );
    await changed(recipes, "store-float16", `--recipes ${recipes}: ${since}`);
    const other = linear(new Float32Array(256).fill(0.5), new Float32Array(4));
    const stranger = `${model}: is not the model that the run in ${out}/survey.json was begun with. Give that one, or ${anew}.`;
    await changed(model, other, stranger);
  });

  test("loses no row when it is interrupted again at once", async () => {
    const { stderr } = await interrupted(bare(), /trials of an earlier run are kept/);
    expect(stderr).toContain(`2 of 3 trials are saved in ${out}. Go on with:\n  ${goOn(bare())}\n`);
    expect(recipesOf(stateOf().results)).toEqual(["original", ...names.slice(0, 2)]);
  });

  test("measures again what is no longer as it was saved, wherever the folder lies", async () => {
    truncateSync(`${out}/store-float16.onnx`, 100);
    writeFileSync(`${out}/.survey.json.999999999.tmp`, "{");
    const { status, stderr } = await run(bare());
    expect(status, stderr).toBe(0);
    expect(stderr).toContain("1 trial of an earlier run is kept");
    const { results } = stateOf();
    expect(recipesOf(results)).toEqual(["original", ...names]);
    for (const { file, bytes } of results.slice(1)) {
      expect(file.startsWith(`${out}/`)).toBe(true);
      expect(readFileSync(file).length).toBe(bytes.raw);
    }
    expect(existsSync(`${out}/.survey.json.999999999.tmp`)).toBe(false);
  });

  test("before anything is measured leaves a folder to go on in", async () => {
    const args = [...begun.slice(0, -1), folder.in("early")];
    const { status, stdout, stderr } = await run(args, AbortSignal.abort());
    expect([status, stdout]).toEqual([130, ""]);
    expect(stderr).toContain(`0 of 3 trials are saved in ${folder.in("early")}. Go on with:`);
    out = folder.in("early");
    expect(stateOf()).toMatchObject({ complete: false, results: [], flags: { limit: 40 } });
    const again = await run(bare(), AbortSignal.abort());
    expect(again.stderr).toContain("0 trials of an earlier run are kept");
  });
});

test("--force that fails at once leaves the survey that was there", async () => {
  const before = readFileSync(`${out}/survey.json`, "utf8");
  const shuffled = `jsonl:${folder.in("shuffled.jsonl")}`;
  const { status, stderr } = await run(["survey", model, "--data", shuffled, "-o", out, "--force"]);
  expect([status, stderr]).toEqual([2, expect.stringContaining("implausible-baseline")]);
  expect(readFileSync(`${out}/survey.json`, "utf8")).toBe(before);
});

test("a teacher is part of the job", async () => {
  const file = folder.in("taught.txt");
  writeFileSync(file, "prune-random > train:loss=kd,steps=2,holdout=0");
  const args = [
    "--data",
    data,
    "--recipes",
    file,
    "--timing",
    "0.02s",
    "--threads",
    "1",
    "--deterministic",
  ];
  out = folder.in("taught");
  const begin = ["survey", model, ...args, "--teacher", folder.in("link.onnx"), "-o", out];
  const { status, stderr } = await run(begin);
  expect(status, stderr).toBe(0);
  const { job, model: info, results } = stateOf();
  expect(job).toMatchObject({ teacher: info.hash, training: { computeChoice: { forms: {} } } });
  expect(results[1].ease).toMatchObject({ training: true });
  expect(readdirSync(out).filter((name) => name.endsWith(".checkpoint"))).toEqual([]);
  const other = folder.in("other.onnx");
  writeFileSync(other, linear(new Float32Array(256).fill(0.5), new Float32Array(4)));
  expect((await run([...bare(), "--teacher", other])).stderr).toContain(
    `bad-resume: --teacher: the run in ${out}/survey.json was begun with ${folder.in("link.onnx")}, now it is ${other}.`,
  );
});

test("a survey whose budget is used up says so, and is not complete", async () => {
  const { status, stdout, stderr } = await run([...bare(), "--budget", "0.001s"]);
  expect(status).toBe(0);
  expect(stdout).toContain("The budget was used up: 2 of 3 recipes were measured.");
  expect(stderr).toContain(`not measured: ${names[2]}: the budget of 0.001 s was used up`);
  expect(stderr).toContain(`Go on with:\n  ${goOn([...bare(), "--budget", "0.001s"])}\n`);
  expect(stateOf()).toMatchObject({ complete: false, flags: { budget: 0.001 } });
});

test("numbers that JSON lacks survive in the state, and files that do not fit are left out", () => {
  const [original, row] = stateOf().results;
  const exact = { ...row, metric: { ...row.metric, value: Number.NaN, sqnr: Infinity } };
  const report = { ...lenet(), baseline: original, results: [original, exact] };
  const layerErrors = [{ recipe: row.recipe, layers: [{ name: "a.b", sqnr: -Infinity }] }];
  const plan = { job: {} as never, recipes: null, flags: {}, cwd: "" };
  const text = stateText(plan, { report, layerErrors, began: {} }, false);
  const content = JSON.parse(text);
  expect(content.results[1].metric).toMatchObject({ value: null, sqnr: null });
  const { done, doneErrors } = earlierRows(out, { file: "", flags: {}, content });
  expect(done).toEqual([{ ...exact, file: `${out}/store-float16.onnx` }]);
  expect(doneErrors).toEqual(layerErrors);
});
