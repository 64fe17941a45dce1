/** @file A method on a real model: opens, runs, and says what it left alone. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Dataset } from "../../src/data/dataset.ts";
import type { Model } from "../../src/ir/model.ts";
import type { Tensor } from "../../src/ir/tensor.ts";
import { methods } from "../../src/methods/index.ts";
import { readModel } from "../../src/onnx/read.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { applyRecipe } from "../../src/recipe/apply.ts";
import { needsTraining } from "../../src/recipe/needs.ts";
import { formatRecipe, parseRecipe, type Step, surveySteps } from "../../src/recipe/steps.ts";
import { simplify } from "../../src/recipe/trial.ts";
import { environmentOf, outputsOf } from "../support/apply.ts";
import { nets } from "../support/nets.ts";
import { feedsOf, realModels } from "../support/real-models.ts";

/** Of models in the order of `small`, then `large`. */
interface Reached {
  readonly smaller: readonly number[];
  readonly dB: readonly number[];
}

/**
 * How many times smaller recipes made the files, and how far the outputs stood out of the error, as
 * measured in 2026-11 and rounded down; 60 dB and more are equal but for rounding. Random pruning,
 * the control, is left out.
 */
const reached: Readonly<Record<string, Reached>> = {
  "factor-svd": { smaller: [1.21, 1.25, 1.2, 2.31, 5.39], dB: [39, 27, 40, 60, 37] },
  "fill-channels": { smaller: [1, 1, 1.08, 1.03], dB: [60, 60, 60, 60] },
  "fixed-point": { smaller: [1.89, 1.99, 2.07, 2.04], dB: [60, 60, 60, 37] },
  "merge-neurons:ratio=0.25": { smaller: [1.06, 1.02, 1.08, 1.16, 1.11], dB: [19, 20, 60, 2, 35] },
  "open-clips": { smaller: [1, 1, 1.08, 1.03], dB: [60, 60, 60, 60] },
  "prune-blocks": { smaller: [1, 1.03, 1.14, 1.03, 1.03], dB: [60, 60, 48, 60, 60] },
  "prune-channels": { smaller: [1.62, 1.04, 1.32, 1.28], dB: [60, 60, 60, 60] },
  "prune-magnitude": { smaller: [1.66, 1.86, 1.92, 1.91, 1.74], dB: [-2, 9, 13, 8, 33] },
  "prune-sparsegpt": { smaller: [1.68, 1.86, 1.92, 1.91], dB: [14, 12, 17, 11] },
  "prune-taps": { smaller: [1.05, 1, 1.08, 1.35], dB: [21, 60, 60, 60] },
  "prune-wanda": { smaller: [1.66, 1.86, 1.92, 1.91, 1.74], dB: [8, 18, 16, 11, 35] },
  "quantize-dynamic": { smaller: [1.02, 3.82, 3.6, 1.03, 1.03], dB: [49, 36, 35, 60, 60] },
  "quantize-int8": { smaller: [2.76, 3.83, 3.66, 1.78, 3], dB: [45, 31, 35, 20, 58] },
  "quantize-rate": { smaller: [3.88], dB: [14] },
  "quantize-table": { smaller: [4.33, 5.88, 5.65, 6.26], dB: [10, 17, 21, 14] },
  "quantize-weights": { smaller: [3.13, 3.85, 3.74, 3.92, 3.13], dB: [44, 33, 43, 29, 53] },
  "share-vectors": { smaller: [2.62], dB: [2] },
  "share-weights": { smaller: [3.93, 5.91, 5.34, 6.12, 4.1], dB: [15, 25, 24, 16, 38] },
  "sketch-weights": { smaller: [3.09, 6.89, 4.99, 6.5], dB: [10, 26, 17, 4] },
  "store-float16": { smaller: [1.91, 1.99, 2.08, 2.04, 1.9], dB: [60, 60, 60, 60, 60] },
};

/**
 * [times smaller, dB] that a recipe has to reach on a model: 0.98 of what was measured, and 2 dB less;
 * 10 dB less with integer kernels, whose sums saturate on x64 processors without VNNI.
 */
function floorOf(recipe: string, name: string): readonly [number, number] {
  const at = [...small, ...large].indexOf(name);
  const { smaller = [], dB = [] } = reached[recipe] ?? {};
  const slack = recipe === "quantize-int8" || recipe === "quantize-dynamic" ? 10 : 2;
  return [Math.max(1, 0.98 * (smaller[at] ?? 1)), (dB[at] ?? Number.NEGATIVE_INFINITY) - slack];
}

/** One of each kind. */
export const small = ["kws_dscnn", "sst2_transformer", "stories260k", "silero_vad_16k_op15"];
/** Methods that take seconds for a model: one is enough for `npm test`. */
export const slow = [
  "factor-svd",
  "quantize-rate",
  "quantize-gptq",
  "quantize-awq",
  "quantize-adaround",
  "quantize-hqq",
  "share-vectors",
  "prune-taps",
  "sketch-weights",
  "smooth-quant > quantize-int8",
  "rotate-weights > quantize-int8",
  "slice-hidden",
  "equalize > quantize-int8",
  "split-channels > quantize-int8",
  "factor-cp",
  "factor-tucker",
  "factor-depthwise",
];
/** Takes as long as all of the others. */
export const large = ["ultraface_rfb_320"];

/** What surveys without training try of every method, from setting `from` up to `to`. */
export function recipesOf(from: number, to?: number): string[] {
  return Object.entries(methods).flatMap(([method, { survey }]) =>
    survey
      .slice(from, to)
      .map((options) => surveySteps(method, options))
      .filter((steps) => !needsTraining(steps))
      .map(formatRecipe),
  );
}

/** Tests of the recipes on all of the models `wanted`. */
export function describeRecipes(recipes: readonly string[], wanted: readonly string[]): void {
  const chosen = realModels.filter(({ name, path }) => wanted.includes(name) && path);
  test.skipIf(chosen.length === 0)("all models are there", () => {
    expect(chosen.map(({ name }) => name).sort()).toEqual([...wanted].sort());
  });

  describe.each(chosen.map(({ name, ...rest }) => [name, rest] as const))(
    "%s",
    (name, { path, shapes }) => {
      const file = readFileSync(path as string);
      const model: Model = readModel(file, { name });
      inferModel(model);
      const start = simplify(model);
      const names = new Set(
        [...start.graph.walk()].flatMap(({ nodes }) => [...nodes].map((n) => n.name)),
      );
      const feeds = feedsOf(shapes[0]);
      const records: Dataset = {
        name: "the same input again",
        length: 2,
        classes: null,
        labelled: false,
        read: async () => ({ inputs: feeds, label: null, size: 1 }),
      };
      const env = environmentOf(nets[0], { feeds, calibration: records });

      // Two layers of 2304 inputs: inverting their Gram matrices takes half a minute.
      const own = recipes.filter(
        (recipe) => name !== "ultraface_rfb_320" || recipe !== "prune-sparsegpt",
      );
      test.each(own)("%s", async (recipe) => {
        const outcome = await applyRecipe(start, withFrontEnds(parseRecipe(recipe)), env);
        const [original, outputs] = [
          await outputsOf(file, feeds),
          await outputsOf(outcome.bytes, feeds),
        ];
        const smaller = file.length / outcome.bytes.length;
        const quality = sqnr(original, outputs);
        if (!outcome.kept[0]) expect(outcome.warnings.at(-1)).toMatch(/ was rolled back: ./);
        const [size, dB] = floorOf(recipe, name);
        expect(smaller).toBeGreaterThan(size);
        expect(quality).toBeGreaterThan(dB);
        for (const { node, reason } of outcome.skipped) {
          expect(names).toContain(node);
          expect(reason.length).toBeGreaterThan(8);
        }
      });
    },
  );
}

/** The steps on all weights, also on tables such as silero's Fourier transform, a third of its bytes. */
const withFrontEnds = (steps: readonly Step[]): Step[] =>
  steps.map((step) =>
    "frontEnds" in step.options ? { ...step, options: { ...step.options, frontEnds: true } } : step,
  );

/** 10 log10 of signal over noise, of all float outputs together. */
function sqnr(original: Record<string, Tensor>, outputs: Record<string, Tensor>): number {
  let [power, error] = [0, 0];
  for (const [name, tensor] of Object.entries(original)) {
    if (!tensor.dtype.includes("float")) continue;
    const [x, y] = [tensor.floats(), outputs[name].floats()];
    for (let i = 0; i < x.length; i++) {
      power += x[i] ** 2;
      error += (x[i] - y[i]) ** 2;
    }
  }
  return 10 * Math.log10(power / error);
}
