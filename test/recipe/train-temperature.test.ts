/** @file temperature=auto: the best of three short runs by held-out records, and its text form. */
import { expect, test } from "vitest";
import { cloneModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { describeOptions, parseOptions } from "../../src/options.ts";
import type { Event } from "../../src/recipe/environment.ts";
import { trainModel } from "../../src/recipe/train.ts";
import { trainOptions } from "../../src/train/options.ts";
import { environmentOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel } from "../support/layer.ts";

const [inputs, hidden, classes, records] = [6, 12, 4, 160];
const random = createRandom(3);
const normal = (size: number): Float32Array =>
  Float32Array.from({ length: size }, () => random.normal());

const draw = (scale: number): Model =>
  layerModel(["N", inputs], (g, x) => {
    const matrix = (rows: number, columns: number) =>
      g.constant(
        normal(rows * columns).map((w) => scale * w),
        { shape: [rows, columns] },
      );
    return g.MatMul(g.Relu(g.MatMul(x, matrix(inputs, hidden))), matrix(hidden, classes));
  });
const [student, teacher] = [draw(0.3), draw(1.5)];
const feeds = (count: number) => ({
  x: tensor("float32", [count, inputs], normal(count * inputs)),
});
const labels = Int32Array.from({ length: records }, () => random.int(classes));
const events: Event[] = [];
const env = environmentOf(
  { name: "temperature", model: student, feeds },
  {
    training: tensorDataset(feeds(records), tensor("int32", [records], labels), "t"),
    teacher,
    onEvent: (event) => events.push(event),
  },
);

async function run(given: Readonly<Record<string, unknown>>) {
  const model = cloneModel(student);
  const options = trainOptions.parse({ steps: 20, batch: 16, rate: 0.02, holdout: 0.4, ...given });
  const { curve } = await trainModel(model, options, {}, env, {
    label: "1 train",
    original: student,
  });
  return { bytes: Buffer.from(concat(writeModel(model))), score: curve.at(-1)?.score as number };
}

test("auto trains at the temperature whose short run scores best", async () => {
  const fixed = [];
  for (const temperature of [1, 2, 4]) fixed.push(await run({ loss: "kd", temperature }));
  const scores = fixed.map(({ score }) => score);
  // Twenty steps are the whole run here, so that its scores are those of the short runs.
  expect(new Set(scores).size).toBeGreaterThan(1);
  const best = scores.lastIndexOf(Math.max(...scores));
  events.length = 0;
  const auto = await run({ loss: "kd", temperature: "auto" });
  expect(auto.bytes.equals(fixed[best].bytes)).toBe(true);
  const notes = events.flatMap((event) => (event.type === "note" ? event.text : []));
  expect(notes).toHaveLength(1);
  expect(notes[0]).toContain(`temperature ${[1, 2, 4][best]} (`);
});

test("without distillation nothing is tried", async () => {
  events.length = 0;
  const auto = await run({ loss: "cross-entropy", temperature: "auto" });
  const plain = await run({ loss: "cross-entropy" });
  expect(auto.bytes.equals(plain.bytes)).toBe(true);
  expect(events.filter(({ type }) => type === "note")).toEqual([]);
});

test("an option may be a number or a word", () => {
  const parse = (temperature: unknown) =>
    parseOptions(trainOptions, { temperature }, "train", true).temperature;
  expect([parse("auto"), parse("2.5"), parse(3)]).toEqual(["auto", 2.5, 3]);
  expect(() => parse("0")).toThrow(/temperature="0" is refused .*Give a number above 0/);
  expect(() => parse("warm")).toThrow(/or auto/);
  const info = describeOptions(trainOptions).find(({ name }) => name === "temperature");
  expect(info).toMatchObject({ type: "number", default: 4, exclusiveMinimum: 0, choices: null });
});
