/** @file A training that was killed goes on to the very same bytes. */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeFixtures } from "../cli/fixtures.ts";
import { run, temporaryFolder } from "../cli/run.ts";

const folder = temporaryFolder();
const model = folder.in("model.onnx");
const data = `jsonl:${folder.in("data.jsonl")}`;
beforeAll(() => writeFixtures(folder));
afterAll(() => folder.close());

const bytesOf = (name: string) => readFileSync(folder.in(name));
const around = ["--data", data, "--timing", "0.05s", "--batch", "8", "--threads", "1"];

test("kill -9 and --resume end in the very same bytes", async () => {
  const steps = ["--steps", "4000", "--optimizer", "adamw", "--deterministic", "--ema", "0.9"];
  const whole = await run(["train", model, ...around, ...steps, "-o", folder.in("whole.onnx")]);
  expect(whole.status, whole.stderr).toBe(0);

  const out = folder.in("killed.onnx");
  const checkpoint = `${out}.1-train.checkpoint`;
  const command = ["train", model, ...around, ...steps, "-o", out];
  const child = spawn("npx", ["tsx", "src/cli/main.ts", ...command], { detached: true });
  await new Promise<void>((resolve, reject) => {
    const poll = setInterval(() => {
      if (!existsSync(checkpoint) && child.exitCode === null) return;
      clearInterval(poll);
      // The whole group: npx, the loader and the program.
      if (child.exitCode === null) process.kill(-(child.pid as number), "SIGKILL");
      else reject(new Error("ended before it could be killed"));
    }, 2);
    child.on("exit", () => resolve());
  });
  expect(existsSync(out)).toBe(false);
  expect(existsSync(checkpoint)).toBe(true);

  const bare = ["train", model, "-o", out, "--resume"];
  for (const [flag, was, is] of [
    ["--rate", "none", "0.01"],
    ["--steps", "4000", "5000"],
    ["--threads", "1", "2"],
    ["--data", data, `jsonl:${folder.in("shuffled.jsonl")}`],
    ["--limit", "none", "30"],
  ]) {
    const other = await run([...bare, flag, is]);
    expect(other.status).toBe(2);
    expect(other.stderr).toBe(
      `tersor: bad-resume: ${flag}: the run in ${out}.job.json was begun with ${was}, now it is ${is}. Leave ${flag} out, or begin anew without --resume (with --force, or another -o).\n`,
    );
  }

  // A second interruption, by Ctrl-C, as soon as it has gone on.
  const controller = new AbortController();
  const before = readFileSync(checkpoint);
  const poll = setInterval(() => {
    if (Buffer.compare(readFileSync(checkpoint), before) !== 0) controller.abort();
  }, 2);
  const stopped = await run(bare, controller.signal);
  clearInterval(poll);
  expect([stopped.status, stopped.stdout]).toEqual([130, ""]);
  const [header] = readFileSync(checkpoint, "latin1").split("\n", 1);
  const { step } = JSON.parse(header);
  expect(stopped.stderr).toContain(
    `tersor: aborted: train: was interrupted, the state after ${step.toLocaleString("en")} steps is saved in ${checkpoint}. Go on with:\n  tersor ${bare.join(" ")}\n`,
  );

  // As if it had been killed between writing the model and taking leave of its checkpoint.
  writeFileSync(out, "the model");
  const resumed = await run(bare);
  expect(resumed.status, resumed.stderr).toBe(0);
  expect(Buffer.compare(readFileSync(out), bytesOf("whole.onnx"))).toBe(0);
  expect(readdirSync(folder.in("")).filter((name) => name.startsWith("killed."))).toEqual([
    "killed.onnx",
  ]);
}, 60_000);
