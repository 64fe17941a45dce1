/** @file What methods say they need is what they ask for, and it is told before any work. */
import { describe, expect, test } from "vitest";
import { methods } from "../../src/methods/index.ts";
import type { Method } from "../../src/methods/method.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { compress } from "../../src/recipe/compress.ts";
import { loadModel } from "../../src/recipe/load.ts";
import { checkNeeds, defaultNeeds, needsByOption, unmetNeed } from "../../src/recipe/needs.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import { survey } from "../../src/recipe/survey.ts";
import { environmentOf, runtime } from "../support/apply.ts";
import { counted, describeNeeds, net } from "./needs-of-methods.ts";

describeNeeds("some");

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
