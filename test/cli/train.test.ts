/** @file tersor train: what it prints and writes; test/long kills it. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeFixtures } from "./fixtures.ts";
import { run, temporaryFolder } from "./run.ts";

const folder = temporaryFolder();
const model = folder.in("model.onnx");
const data = `jsonl:${folder.in("data.jsonl")}`;
beforeAll(() => writeFixtures(folder));
afterAll(() => folder.close());

const bytesOf = (name: string) => readFileSync(folder.in(name));
const around = ["--data", data, "--timing", "0.05s", "--batch", "8", "--threads", "1"];

test("writes a trained model, a report with the curve, and a record that can be replayed", async () => {
  const files = ["-o", folder.in("t.onnx"), "--report", folder.in("t.html")];
  const record = folder.in("t.json");
  const { status, stdout, stderr } = await run([
    "train",
    model,
    ...around,
    ...files,
    "--epochs",
    "40",
    "--record",
    record,
    "--json",
  ]);
  expect(status, stderr).toBe(0);
  const { command, result } = JSON.parse(stdout);
  expect(command).toBe("train");
  expect(result).toMatchObject({
    recipe: "train:epochs=40,batch=8",
    file: folder.in("t.onnx"),
    ease: { data: "labelled", training: true },
    metric: { name: "accuracy" },
  });
  expect(bytesOf("t.html").toString()).toContain("Loss curve of train:epochs=40");
  const { computeChoice, runs } = JSON.parse(readFileSync(record, "utf8"));
  expect(computeChoice.shape).toBe("workers");
  expect(runs[0].curve.at(-1).loss).toBeLessThan(runs[0].curve[0].loss);
  expect(readdirSync(folder.in("")).filter((name) => name.endsWith(".checkpoint"))).toEqual([]);

  const again = await run([
    "train",
    model,
    ...around,
    "-o",
    folder.in("t2.onnx"),
    "--epochs",
    "40",
    "--replay",
    record,
  ]);
  expect(again.stdout).toContain("train:epochs=40,batch=8 -> ");
  expect(Buffer.compare(bytesOf("t2.onnx"), bytesOf("t.onnx"))).toBe(0);
}, 30_000);

test("a student is a copy of the model, or another model, and several teachers are one", async () => {
  const out = folder.in("student.onnx");
  const teach = async (...args: string[]) => {
    const all = ["train", ...args, ...around, "--steps", "2", "-o", out, "--force", "--json"];
    const { status, stdout, stderr } = await run(all);
    expect(status, stderr).toBe(0);
    return JSON.parse(stdout);
  };
  const copy = await teach(model, "--student", "width=0.9,start=fresh");
  expect(copy.result.recipe).toBe("distil:width=0.9,start=fresh,steps=2,batch=8");
  const { result } = await teach(model, "--student", model, "--loss", "kd");
  expect(result.recipe).toMatch(/^train:.*loss=kd/);
  const several = await teach(model, "--teacher", `${model},${model}`, "--loss", "kd");
  expect(several.result.recipe).toMatch(/^train:.*loss=kd/);
}, 30_000);

test("a new run takes nothing from an interrupted one of the same name", async () => {
  const out = folder.in("again.onnx");
  const checkpoint = `${out}.1-train.checkpoint`;
  const args = (...more: string[]) => ["train", model, ...around, "-o", out, ...more];
  const controller = new AbortController();
  const poll = setInterval(() => existsSync(checkpoint) && controller.abort(), 2);
  const first = await run(args("--steps", "100000"), controller.signal);
  clearInterval(poll);
  expect(first.status).toBe(130);
  expect(existsSync(checkpoint)).toBe(true);
  const second = await run(args("--steps", "2"), AbortSignal.abort());
  expect(second.stderr).toContain(`${out}.job.json: an interrupted run is replaced`);
  expect(second.stderr).toMatch(
    /aborted: .*was interrupted. Run it again: tersor train .* --steps 2.\n$/,
  );
  // Nothing was saved of it, so there is nothing to resume.
  expect(readdirSync(folder.in("")).filter((name) => name.startsWith("again."))).toEqual([]);
});

test("bad usage is one line, and nothing is written", async () => {
  const cases: readonly [readonly string[], RegExp][] = [
    [["--rate", "fast"], /train: rate="fast" is refused/],
    [["--freeze", "no-such*"], /no-match: .*"no-such\*" matches no layer/],
    [["--augment", "spin=3"], /unknown-option: augment: .*spin/],
    [["--replay", model], /--replay .*is no record of a training run/],
  ];
  for (const [flags, message] of cases) {
    const out = folder.in("never.onnx");
    const { status, stdout, stderr } = await run(["train", model, ...around, ...flags, "-o", out]);
    expect([status, stdout, stderr.trimEnd().split("\n").length]).toEqual([2, "", 1]);
    expect(stderr).toMatch(message);
    expect(existsSync(out)).toBe(false);
  }
  const bare = await run(["train", model, "-o", folder.in("never.onnx")]);
  expect(bare.stderr).toBe("tersor: bad-usage: train: has no data to learn from. Give --data.\n");
});
