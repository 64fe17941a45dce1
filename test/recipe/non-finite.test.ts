/** @file One bad number in data or model neither passes in silence nor spoils what others give. */

import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { compress, type Event, evaluate, inspect, jsonl, load } from "../../src/node.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { temporaryFolder } from "../cli/run.ts";
import { linear, tinyModel } from "../support/tiny.ts";

const folder = temporaryFolder();
afterAll(() => folder.close());

const [features, classes] = [256, 8];
const random = createRandom(3);
const W = Float32Array.from({ length: features * classes }, () => random.float() - 0.5);
const b = Float32Array.from({ length: classes }, () => random.float());
const records = Array.from({ length: 80 }, () =>
  Array.from({ length: features }, () => random.normal()),
);
const labels = records.map((x) => {
  const scores = Array.from(b, (bias, c) =>
    x.reduce((sum, v, i) => sum + v * W[i * classes + c], bias),
  );
  return scores.indexOf(Math.max(...scores));
});

/** JSON has no infinity, but 1e999 is read as one. */
const lines = (broken: number | null): string =>
  records
    .map((x, i) => {
      const input = x.map((v, j) => (i === broken && j === 5 ? "1e999" : String(v)));
      return `{"x": [${input.join(", ")}], "label": ${labels[i]}}`;
    })
    .join("\n");

beforeAll(() => {
  writeFileSync(folder.in("model.onnx"), linear(W, b));
  writeFileSync(
    folder.in("broken.onnx"),
    linear(
      W.map((w, i) => (i === 9 ? Number.NaN : w)),
      b,
    ),
  );
  writeFileSync(folder.in("good.jsonl"), lines(null));
  writeFileSync(folder.in("bad.jsonl"), lines(17));
});
const timingSeconds = 0.02;
const left =
  /bad\.jsonl: 1 of 80 records are left out for 1 infinity \(record 17, counted from 0\)/;

test("a record among those that calibrate is left out, with a warning in the row", async () => {
  const model = await load(folder.in("model.onnx"));
  const data = jsonl(folder.in("good.jsonl"));
  const run = async (calib: string) => {
    const settings = { recipe: "quantize-int8:correctBias=true", data, timingSeconds } as const;
    return (await compress(model, { ...settings, calib: jsonl(folder.in(calib)) })).result;
  };
  const [good, bad] = [await run("good.jsonl"), await run("bad.jsonl")];
  expect(good.metric?.sqnr).toBeGreaterThan(30);
  expect(Math.abs((bad.metric?.sqnr ?? 0) - (good.metric?.sqnr ?? 0))).toBeLessThan(3);
  expect(bad.warnings.join("\n")).toMatch(left);
  expect(good.warnings.join("\n")).not.toContain("left out");
});

test("a record among those that judge is left out, with a warning in the row", async () => {
  const model = await load(folder.in("model.onnx"));
  const { metric, warnings } = await evaluate(model, {
    data: jsonl(folder.in("bad.jsonl")),
    timingSeconds,
  });
  expect(metric).toMatchObject({ name: "accuracy", value: 100, n: 79 });
  expect(warnings.join("\n")).toMatch(left);
  const refused = evaluate(model, {
    data: jsonl(folder.in("bad.jsonl"), { nonFinite: "refuse" }),
    timingSeconds,
  });
  await expect(refused).rejects.toMatchObject({
    code: "bad-data",
    what: expect.stringContaining("record 17"),
  });
});

test("training leaves the record out", async () => {
  const model = await load(folder.in("model.onnx"));
  const { result } = await compress(model, {
    recipe: "prune-magnitude:sparsity=0.5 > train:steps=5,batch=16,holdout=0",
    data: jsonl(folder.in("good.jsonl")),
    calib: jsonl(folder.in("bad.jsonl")),
    timingSeconds,
  });
  expect(result.metric?.value).toBeGreaterThan(50);
  expect(result.warnings.join("\n")).toMatch(left);
});

test("outputs that are not finite on a finite record are told by its number", async () => {
  // log(x) of a negative number.
  const ports = {
    inputs: [{ name: "x", dims: ["N", 3] }],
    outputs: [{ name: "y", dims: ["N", 3] }],
  };
  const nodes = [{ op: "Log", inputs: ["x"], outputs: ["y"] }];
  writeFileSync(folder.in("log.onnx"), tinyModel({ ...ports, nodes }));
  const rows = Array.from(
    { length: 40 },
    (_, i) => `{"x": [1, 2, ${i === 17 ? -1 : 3}], "label": 2}`,
  );
  writeFileSync(folder.in("log.jsonl"), rows.join("\n"));
  const model = await load(folder.in("log.onnx"));
  const { metric, warnings } = await evaluate(model, {
    data: jsonl(folder.in("log.jsonl")),
    timingSeconds,
  });
  expect(metric?.value).toBe(97.5);
  expect(warnings).toEqual([
    "outputs are not finite on record 17: 1 of 40 predictions are NaN or infinite, which counts as wrong",
  ]);
});

test("weights that are not finite are named, by every command that looks at the model", async () => {
  const model = await load(folder.in("broken.onnx"));
  const events: Event[] = [];
  await inspect(model, { timingSeconds, onEvent: (event) => events.push(event) });
  const told = expect.stringContaining('weights are not finite: "W" (1 NaN)');
  expect(events).toContainEqual({ type: "warning", text: told });
  // Without data there is a row.
  const options = { recipe: "prune-magnitude:sparsity=0.5", timingSeconds } as const;
  const row = compress(model, { ...options, preset: undefined });
  const { baseline, result } = await row;
  expect(baseline.warnings).toContainEqual(told);
  expect(result.warnings).toContainEqual(told);
  // With data, no class is right; that is no fault of the preprocessing.
  const judged = compress(model, { ...options, data: jsonl(folder.in("good.jsonl")) });
  await expect(judged).rejects.toMatchObject({ code: "bad-number", what: told });
});
