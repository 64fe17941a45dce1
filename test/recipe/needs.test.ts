/** @file What methods say they need is what they ask for, and it is told before any work. */
import { describe, expect, test } from "vitest";
import type { Dataset } from "../../src/data/dataset.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { type MethodId, methods } from "../../src/methods/index.ts";
import { type Method, needsOf } from "../../src/methods/method.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { describeOptions } from "../../src/options.ts";
import { compress } from "../../src/recipe/compress.ts";
import { loadModel } from "../../src/recipe/load.ts";
import { checkNeeds, defaultNeeds, needsByOption, unmetNeed } from "../../src/recipe/needs.ts";
import { parseRecipe, type Step } from "../../src/recipe/steps.ts";
import { survey } from "../../src/recipe/survey.ts";
import { apply, environmentOf, runtime } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { nets } from "../support/nets.ts";

const table = Object.entries(methods) as unknown as [MethodId, Method][];
const net = nets.find(({ name }) => name === "conv")!;

/** Records that count how often they are read; labels are classes of the ten scores. */
function counted(seed: number) {
  const inputs = net.feeds(24, seed);
  const labels = tensor(
    "int32",
    [24],
    Int32Array.from({ length: 24 }, (_, i) => i % 10),
  );
  const records = tensorDataset(inputs, labels);
  let reads = 0;
  const dataset: Dataset = {
    ...records,
    read(indices) {
      reads++;
      return records.read(indices);
    },
  };
  return { dataset, reads: () => reads };
}

/** The defaults, and every choice of every option over them, each once. */
function stepsOf(id: MethodId, method: Method): Step[] {
  const settings = describeOptions(method.options).flatMap(({ name, type, choices }) => {
    const values = type === "boolean" ? [true, false] : (choices ?? []);
    return values.map((value) => ({ [name]: value }));
  });
  const steps = [{}, ...settings].map((given) => stepOf(id, { ...more[id], ...given }));
  return [...new Map(steps.map((step) => [JSON.stringify(step.options), step])).values()];
}

const stepOf = (id: MethodId, given: object): Step =>
  parseRecipe([{ method: id, ...given }] as never)[0];

/** What a method that needs something has to be told to do anything on the network. */
const more: Readonly<Record<string, object>> = {
  "prune-blocks": { ratio: 1 },
  "quantize-adaround": { iterations: 4 },
  "quantize-mixed": { least: 4, most: 5 },
};

/** Options that 2 is no value of. */
const other: Readonly<Record<string, number>> = { depth: 0.5 };

/** Methods that find nothing to work on in the network: no two layers to equalize, no table of tokens, no
 * smaller model. */
const idle: readonly MethodId[] = ["equalize", "prune-vocabulary", "cascade"];

describe.each(table)("%s", (id, method) => {
  test("asks for nothing that it does not say it needs", async () => {
    const env = environmentOf(net, { calibration: null, training: null });
    for (const step of stepsOf(id, method)) {
      if (needsOf(step).length === 0) await apply(net.model, id, step.options, env);
    }
    const usual = stepOf(id, {});
    if (needsOf(usual).join() !== "calibration") return;
    await apply(net.model, id, usual.options, environmentOf(net, { training: null }));
  });

  test.skipIf(idle.includes(id))("looks at what it says it needs", async () => {
    const settings = needsByOption(method).flatMap(({ option, values }) =>
      option === "loss" ? [] : [{ [option]: values ? values[0] : (other[option] ?? 2) }],
    );
    for (const given of [{}, ...settings]) {
      const step = stepOf(id, { ...more[id], ...given });
      const [calibration, training] = [counted(5), counted(6)];
      const env = environmentOf(net, {
        calibration: calibration.dataset,
        training: training.dataset,
      });
      const needs = needsOf(step);
      if (needs.length === 0) continue;
      await apply(net.model, id, step.options, env);
      if (needs.includes("calibration")) expect(calibration.reads()).toBeGreaterThan(0);
      if (needs.includes("training")) expect(training.reads()).toBeGreaterThan(0);
    }
  });
});

describe("needs", () => {
  test("are told by option", () => {
    expect(defaultNeeds(methods["quantize-int8"] as unknown as Method)).toEqual(["calibration"]);
    expect(needsByOption(methods["prune-magnitude"] as unknown as Method)).toEqual([
      { option: "steps", values: null, needs: ["training"] },
    ]);
    expect(needsByOption(methods["quantize-rate"] as unknown as Method)).toEqual([
      { option: "sensitivity", values: ["gradient", "hessian"], needs: ["training"] },
      { option: "sensitivity", values: ["hessian"], needs: ["calibration"] },
    ]);
  });

  const records = counted(7).dataset;
  const unlabelled = { ...records, labelled: false };
  const all = { calibration: records, training: records };
  test.each([
    [
      "share-weights > quantize-int8",
      { ...all, calibration: null },
      "needs-data: quantize-int8: needs data to calibrate on. Give --data or --calib (a few hundred unlabelled inputs are enough), or take what needs none: quantize-dynamic, quantize-weights, quantize-embeddings.",
    ],
    [
      "prune-channels:criterion=lasso,allocation=sensitivity",
      { ...all, calibration: null },
      "needs-data: prune-channels:criterion=lasso,allocation=sensitivity: needs data to calibrate on. Give --data or --calib (a few hundred unlabelled inputs are enough), or leave out criterion=lasso and allocation=sensitivity.",
    ],
    [
      "prune-magnitude:steps=6",
      { ...all, training: null },
      "needs-training: prune-magnitude:steps=6: needs records to train on, and there are none. Give --calib with training data, e.g. --calib mnist:train, or leave out steps=6.",
    ],
    [
      "quantize-rate:sensitivity=gradient",
      { ...all, training: null },
      "needs-training: quantize-rate:sensitivity=gradient: needs records to train on, and there are none. Give --calib with training data, e.g. --calib mnist:train, or leave out sensitivity=gradient.",
    ],
    [
      "train",
      { ...all, training: null },
      "needs-training: train: needs records to train on, and there are none. Give --calib with training data, e.g. --calib mnist:train.",
    ],
    [
      "train:loss=cross-entropy",
      { ...all, training: unlabelled },
      "needs-labels: train:loss=cross-entropy: learns from labels, and the records to train on have none. Give labelled data, or leave out loss=cross-entropy.",
    ],
  ])("%s", (recipe, given, message) => {
    expect(() => checkNeeds(parseRecipe(recipe), given)).toThrow(message);
    expect(unmetNeed(parseRecipe(recipe), all)).toBeNull();
  });

  test("are looked at before the original is measured", async () => {
    const loaded = await loadModel(concat(writeModel(net.model)), nodePlatform);
    let opened = 0;
    const env = environmentOf(net, {
      training: null,
      runtime: {
        ...runtime,
        open(...parameters) {
          opened++;
          return runtime.open(...parameters);
        },
      },
    });
    const steps = parseRecipe("share-weights > prune-magnitude:steps=2");
    const refusal = { code: "needs-training" };
    await expect(compress(loaded, env, { steps })).rejects.toMatchObject(refusal);
    await expect(survey(loaded, env, { recipes: [[], steps] })).rejects.toMatchObject(refusal);
    expect(opened).toBe(0);
  });
});
