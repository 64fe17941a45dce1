/** @file Presets: recipes by what is wanted of them. */
import { errors, fail } from "../errors.ts";
import type { Model } from "../ir/model.ts";
import { weightsOf } from "../ops/weights.ts";
import { nearest } from "../util/nearest.ts";
import { parseRecipe, type Step } from "./steps.ts";

interface Preset {
  readonly summary: string;
  recipe(model: Model, hasCalibration: boolean): string;
}

export const presets = {
  lossless: {
    summary: "Simplifies the graph; outputs stay the same.",
    recipe: () => "",
  },
  half: {
    summary: "Stores weights in 16 bits.",
    recipe: () => "store-float16",
  },
  small: {
    summary: "The smallest file that usually keeps its quality: 16 shared weights per layer.",
    recipe: () => "share-weights:bits=4,init=optimal",
  },
  fast: {
    summary: "int8 arithmetic: calibrated where there are data, else by ranges at run time.",
    recipe: (model, hasCalibration) => {
      const uses = weightsOf(model);
      const has = (kind: string): boolean => uses.some(({ role }) => role.kind === kind);
      // In transformers ranges at run time are as fast, and closer (ENGINE 1.1, BERT).
      const isTransformer = has("embedding") && !has("conv");
      if (hasCalibration && !isTransformer && (has("conv") || has("linear"))) {
        return has("recurrent") ? "quantize-int8 > quantize-weights" : "quantize-int8";
      }
      // Without calibration only matrix products have a fast int8 form; the rest is stored as int8.
      return has("linear") ? "quantize-dynamic > quantize-weights" : "quantize-weights";
    },
  },
  "deep-compression": {
    summary: "Prune, train, share weights, train the codebook, code (Han et al. 2016); needs data.",
    recipe: () =>
      [
        "prune-magnitude:sparsity=0.92,scope=global,steps=6",
        "train:epochs=6",
        "share-weights:bits=5",
        "train:epochs=2,rate=0.0003",
        "pack",
      ].join(" > "),
  },
  smallest: {
    summary: "Trained against the coded size: the smallest download; needs data and time.",
    recipe: () =>
      [
        "train-rate:lambda=0.00001,step=1.25,epochs=10",
        // The warm restart finds a fifth of the bytes at the same error.
        "train-rate:lambda=0.000013,ramp=0,rate=0.0007,epochs=8",
        "pack",
      ].join(" > "),
  },
} as const satisfies Record<string, Preset>;

export type PresetId = keyof typeof presets;

/** What `compress` does when nothing else is said. */
export const defaultPreset: PresetId = "fast";

/** Throws TersorError "bad-option" for an unknown name. */
export function presetRecipe(name: string, model: Model, hasCalibration: boolean): Step[] {
  if (!Object.hasOwn(presets, name)) {
    const near = nearest(name, Object.keys(presets));
    const remedy = near
      ? `Did you mean "${near}"?`
      : `Give one of: ${Object.keys(presets).join(", ")}`;
    throw fail(errors.badOption("--preset", `there is no preset "${name}"`, remedy));
  }
  const preset: Preset = presets[name as PresetId];
  return parseRecipe(preset.recipe(model, hasCalibration));
}
