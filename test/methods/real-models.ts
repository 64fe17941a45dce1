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
import { formatRecipe, parseRecipe } from "../../src/recipe/steps.ts";
import { simplify } from "../../src/recipe/trial.ts";
import { environmentOf, outputsOf } from "../support/apply.ts";
import { nets } from "../support/nets.ts";
import { feedsOf, realModels } from "../support/real-models.ts";

/** What any sane result reaches: [times smaller, dB]. Measured 2026-11: 1.9 and 64, 3.1 and 30, 3.9 and 15. */
const least: Readonly<Record<string, readonly [number, number]>> = {
  "store-float16": [1.85, 55],
  "quantize-weights": [3, 25],
  "share-weights": [3.8, 10],
};

/** One of each kind. */
export const small = ["kws_dscnn", "sst2_transformer", "stories260k", "silero_vad_16k_op15"];
/** Methods that take seconds for a model: one is enough for `npm test`. */
export const slow = ["quantize-rate"];
/** Takes as long as all of the others. */
export const large = ["ultraface_rfb_320"];

/** What surveys try of every method, from setting `from` up to `to`. */
export function recipesOf(from: number, to?: number): string[] {
  return Object.entries(methods).flatMap(([method, { survey }]) =>
    survey
      .slice(from, to)
      .map((options) => formatRecipe(parseRecipe([{ method, ...options }] as never))),
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
        const outcome = await applyRecipe(start, parseRecipe(recipe), env);
        const [original, outputs] = [
          await outputsOf(file, feeds),
          await outputsOf(outcome.bytes, feeds),
        ];
        const smaller = file.length / outcome.bytes.length;
        const quality = sqnr(original, outputs);
        if (!outcome.kept[0]) expect(outcome.warnings.at(-1)).toMatch(/ was rolled back: ./);
        expect(smaller).toBeGreaterThan(1);
        const [size, dB] = least[recipe] ?? [1, Number.NEGATIVE_INFINITY];
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
