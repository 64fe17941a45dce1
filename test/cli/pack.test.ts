/** @file tersor pack and unpack, and .tersor files where models are read. */
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { unpack } from "../../src/unpack.ts";
import { writeFixtures } from "./fixtures.ts";
import { run, temporaryFolder } from "./run.ts";

const folder = temporaryFolder();
const model = folder.in("model.onnx");
const packed = folder.in("model.tersor");
const data = ["--data", `jsonl:${folder.in("data.jsonl")}`, "--timing", "0.05s"];
beforeAll(() => writeFixtures(folder));
afterAll(folder.close);

const json = async (...argv: string[]) => {
  const { status, stdout, stderr } = await run([...argv, "--json"]);
  expect(stderr.replace(/^.*\r/gm, "")).not.toContain("tersor:");
  expect(status).toBe(0);
  return JSON.parse(stdout);
};

test("pack says where the bytes went", async () => {
  const { status, stdout } = await run(["pack", model]);
  expect(status).toBe(0);
  const size = readFileSync(packed).length;
  expect(stdout).toMatch(/^part +type +ONNX +coded +ratio +coder/);
  expect(stdout).toMatch(/^graph .* \d+ B/m);
  expect(stdout).toMatch(/^W +float32\[64,4\]/m);
  expect(stdout).toContain(`${packed}: ${size} B, `);
});

test("pack --json: sizes, and nothing that was not measured", async () => {
  const { command, result, ...rest } = await json("pack", model, "--force");
  expect(command).toBe("pack");
  expect(rest.model.bytes).toBe(readFileSync(model).length);
  expect(result).toMatchObject({ recipe: "pack", file: packed, latency: null, metric: null });
  expect(result.bytes.packed).toBe(readFileSync(packed).length);
  expect(result.bytes.raw).toBe((await unpack(readFileSync(packed))).length);
});

test("unpack gives the ONNX file", async () => {
  const file = folder.in("again.onnx");
  const { status, stdout } = await run(["unpack", packed, "-o", file]);
  expect({ status, stdout }).toMatchObject({ status: 0, stdout: expect.stringContaining(file) });
  expect(readFileSync(file)).toEqual(Buffer.from(await unpack(readFileSync(packed))));
});

test("pack --base stores a difference, unpack --base adds it", async () => {
  const tuned = folder.in("tuned.onnx");
  const delta = folder.in("tuned.tersor");
  const file = folder.in("tuned.again.onnx");
  const bytes = readFileSync(model);
  // Another value in one weight: its lowest bits changed.
  const at = bytes.length - 300;
  bytes[at] ^= 3;
  writeFileSync(tuned, bytes);
  const { result } = await json("pack", tuned, "--base", model, "--exact", "--force");
  expect(result.bytes.packed).toBe(readFileSync(delta).length);
  expect(result.bytes.packed).toBeLessThan(readFileSync(packed).length);
  const { status } = await run(["unpack", delta, "--base", packed, "-o", file]);
  expect(status).toBe(0);
  const own = await run(["pack", tuned, "-o", folder.in("own.tersor")]);
  expect(own.status).toBe(0);
  await run(["unpack", folder.in("own.tersor"), "-o", folder.in("own.onnx")]);
  expect(readFileSync(file)).toEqual(readFileSync(folder.in("own.onnx")));

  const said = await run(["pack", tuned, "--base", model, "--force"]);
  expect(said.stdout).toContain("Matrices are kept within the error of int8; to unpack: ");
  const without = await run(["eval", delta, ...data]);
  expect(without).toMatchObject({ status: 2, stderr: expect.stringContaining("needs-base: ") });
  const small = folder.in("lenet.onnx");
  const wrong = await run(["unpack", delta, "--base", "net:lenet-300-100", "-o", small]);
  expect(wrong).toMatchObject({ status: 2, stderr: expect.stringContaining("bad-base: ") });
  const foreign = await run(["pack", tuned, "--base", "net:lenet-300-100", "-o", small]);
  expect(foreign).toMatchObject({ status: 2, stderr: expect.stringContaining("foreign-base: ") });
});

test("eval, inspect and bench read .tersor files", async () => {
  const original = await json("eval", model, ...data);
  const { result, model: info } = await json("eval", packed, ...data, "--against", model);
  expect(result.metric).toMatchObject({ value: original.result.metric.value, flips: 0, kl: 0 });
  expect(result.bytes.packed).toBe(readFileSync(packed).length);
  expect(info.name).toBe(packed);
  expect(original.result.bytes.packed).toBe(readFileSync(packed).length);
  expect((await json("inspect", packed)).totals.params).toBe(64 * 4 + 4);
  expect((await json("bench", packed, model, "--budget", "0.2s")).runs.length).toBe(2);
});

test("compress writes .tersor for the step pack, and for that ending", async () => {
  const small = folder.in("small.tersor");
  const recipe = "share-weights:bits=3";
  const calib = ["--calib", `jsonl:${folder.in("unlabelled.jsonl")}`];
  for (const [steps, ...out] of [
    [`${recipe} > pack`, "-o", small],
    [recipe, "-o", small, "--force"],
  ]) {
    const { result } = await json("compress", model, "--recipe", steps, ...out, ...data, ...calib);
    expect(result.file).toBe(small);
    expect(result.bytes.packed).toBe(readFileSync(small).length);
    expect(result.bytes.packed).toBeLessThan(readFileSync(packed).length);
    const { result: again } = await json("eval", small, ...data);
    expect(again.metric.value).toBe(result.metric.value);
  }
});

describe("bad input is one line, status 2, and no file", () => {
  test.each([
    [
      ["unpack", model],
      "bad-packed: <model.onnx>: cannot be unpacked (it does not begin as a .tersor file does). Fetch or pack it again.",
    ],
    [
      ["unpack", folder.in("damaged.tersor")],
      /^tersor: bad-packed: <damaged\.tersor>: cannot be unpacked \(.+\)\. Fetch or pack it again\.\n$/,
    ],
    [
      ["eval", folder.in("cut.tersor"), ...data],
      /^tersor: bad-packed: <cut\.tersor>: cannot be unpacked \(the file ends early.*\)\. Fetch or pack it again\.\n$/,
    ],
    [
      ["pack", model],
      "output-exists: <model.tersor>: exists already. Name another file with -o; --force overwrites it.",
    ],
    [["pack", model, "-o", model], /^tersor: output-is-input/],
    [["pack", folder.in("text.onnx"), "-o", folder.in("no.tersor")], /^tersor: not-a-model/],
    [
      ["compress", model, "--recipe", "share-weights > pack", "-o", folder.in("no.onnx")],
      /^tersor: bad-usage: -o <no\.onnx>: is no name for what the recipe ends with, a \.tersor file\. Name it \*\.tersor, or leave out the step pack\.\n$/,
    ],
    [
      ["compress", model, "--recipe", "pack > share-weights"],
      /^tersor: bad-recipe: recipe step 1: pack says how the file is written: it comes last\./,
    ],
  ] as const)("%j", async (argv, message) => {
    const bytes = readFileSync(packed);
    writeFileSync(folder.in("cut.tersor"), bytes.subarray(0, 60));
    bytes[bytes.length >> 1] ^= 4;
    writeFileSync(folder.in("damaged.tersor"), bytes);
    const before = folder.list();
    const { status, stdout, stderr } = await run(argv);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    const plain = stderr.replaceAll(/\S*tersor-cli-\w+\/([\w.-]+)/g, "<$1>");
    if (typeof message === "string") expect(plain).toBe(`tersor: ${message}\n`);
    else expect(plain).toMatch(message);
    expect(folder.list()).toEqual(before);
  });
});
