/** @file What training cannot do with these records is said before any work, by the option's name. */
import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compress, load, survey, train } from "../../src/node.ts";
import type { Settings } from "../../src/recipe/prepare.ts";
import { writeFixtures } from "../cli/fixtures.ts";
import { temporaryFolder } from "../cli/run.ts";
import { identity, linear } from "../support/tiny.ts";

const folder = temporaryFolder();
beforeAll(() => {
  writeFixtures(folder);
  writeFileSync(folder.in("narrow.onnx"), linear(new Float32Array(10), new Float32Array(5)));
  writeFileSync(folder.in("wide.onnx"), linear(new Float32Array(64 * 3), new Float32Array(3)));
  writeFileSync(folder.in("identity.onnx"), identity("float32", ["N", 64]));
});
afterAll(() => folder.close());

const at = (name: string) => folder.in(name);
const labelled = () => `jsonl:${at("data.jsonl")}`;
const unlabelled = () => `jsonl:${at("unlabelled.jsonl")}`;

/** How far a run gets: the message of its error, or "begun" once it would begin to work. */
async function begins(recipe: string, settings: Settings): Promise<string> {
  const model = await load(at("model.onnx"));
  const begun = new Error("begun");
  const onJob = () => {
    throw begun;
  };
  const message = (cause: Error) => cause.message;
  const options = { ...settings, timingSeconds: 0.02, onJob };
  const whole = await compress(model, { ...options, recipe }).then(String, message);
  const row = await survey(model, { ...options, recipes: ["pack", recipe] }).then(String, message);
  expect(row).toBe(whole);
  return whole;
}

describe("before any work", () => {
  test.each([
    ["train:loss=mse", "bad-option: loss mse: needs a target of the output's own shape, and"],
    ["pack-less > train", "unknown-method"],
    [
      "prune-random > train:loss=bce",
      "bad-option: loss bce: needs a label of 0 or 1 for each score, and",
    ],
    ["prune-trained:loss=mse", "bad-option: loss mse: needs a target of the output's own shape"],
    ["train:augment=spin=3", 'unknown-option: augment: there is no option "spin"'],
    ["share-weights > train:augment=flip", "bad-option: jsonl:"],
    ["train:rates=Gemm", 'bad-option: rates: "Gemm" is no glob=factor. Write fc*=0.1'],
    ["prune-random > train:smoothing=0.1,loss=logits", "bad-option: smoothing: loss logits has no"],
    ["prune-random > train:augment=mixup", "bad-option: augment: mixup blends images, but not"],
    ["train:loss=kd", "needs-teacher: train:loss=kd: learns from a teacher, and the only one is"],
    ["train:loss=features,epochs=2", "needs-teacher: train:epochs=2,loss=features: learns from"],
    ["train", "begun"],
    ["prune-random > train:loss=kd", "begun"],
    ["train:loss=cross-entropy > share-weights", "begun"],
  ])("%s with labels", async (recipe, message) => {
    expect((await begins(recipe, { data: labelled() })).slice(0, message.length)).toBe(message);
  });

  test.each([
    ["train", "needs-teacher: train: learns from a teacher, and the only one is the model itself"],
    ["train:loss=mse", "needs-labels: train:loss=mse: learns from labels"],
    ["prune-random > train", "begun"],
  ])("%s without labels", async (recipe, message) => {
    expect((await begins(recipe, { data: unlabelled() })).slice(0, message.length)).toBe(message);
  });

  test.each([
    ["model.onnx", "begun"],
    ["narrow.onnx", "bad-option: --teacher: does not take these records ("],
    ["wide.onnx", "bad-option: --teacher: gives 3 scores for a record, the model 4."],
  ])("the teacher %s", async (name, message) => {
    const teacher = await load(at(name));
    for (const [recipe, data] of [
      ["train", labelled()],
      ["prune-random > train:loss=logits", unlabelled()],
    ]) {
      const found = await begins(recipe, { data, teacher });
      expect(found.slice(0, message.length)).toBe(message);
    }
    // A loss that asks no teacher does not mind one.
    const alone = await begins("train:loss=cross-entropy", { data: labelled(), teacher });
    expect(alone).toBe("begun");
  });

  test("labels that the model has no class for are named by their record", async () => {
    const message = await begins("prune-random > train", { calib: `jsonl:${at("beyond.jsonl")}` });
    expect(message).toMatch(/^label-out-of-range: jsonl:.*beyond.jsonl, record 1: label 5 is not/);
  });

  test("train, the command, says the same", async () => {
    const model = await load(at("model.onnx"));
    const own = train(model, { data: labelled(), options: { loss: "kd" } });
    await expect(own).rejects.toMatchObject({ code: "needs-teacher" });
  });
});
