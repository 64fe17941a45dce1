/** @file Presets: ready-made recipes, named by their purpose. */
import { errors, fail } from "../errors.ts";
import type { Model } from "../ir/model.ts";
import { weightsOf } from "../ops/weights.ts";
import type { TargetDevice } from "../targets/target.ts";
import { nearest } from "../util/nearest.ts";
import { parseRecipe, type Step } from "./steps.ts";

interface Preset {
  /** One sentence for the command line's help. */
  readonly summary: string;
  /** The recipe as text, chosen by the kinds of layers in `model` and by the target, if one is named. */
  recipe(model: Model, hasCalibration: boolean, target: TargetDevice | null): string;
}

/** All presets by name. */
export const presets = {
  lossless: {
    summary: "Only simplifies the graph; outputs stay the same but for rounding.",
    recipe: () => "",
  },
  half: {
    summary: "Stores weights in 16 bits.",
    recipe: () => "store-float16",
  },
  small: {
    summary: "A small file: 16 shared weights per layer. What that costs depends on the model.",
    recipe: () => "share-weights:bits=4,init=optimal",
  },
  fast: {
    summary:
      "int8 arithmetic where it is faster: ranges calibrated, and layers timed, where there is data, else ranges found at run time.",
    recipe: (model, hasCalibration, target) => {
      // Without integer kernels, as on a GPU of a browser, half precision is what there is.
      if (target && !target.int8) return "store-float16:compute=auto";
      const uses = weightsOf(model);
      const has = (kind: string): boolean => uses.some(({ role }) => role.kind === kind);
      // For transformers dynamic quantization was as fast as static and more accurate (on BERT).
      const isTransformer = has("embedding") && !has("conv");
      if (hasCalibration && !isTransformer && (has("conv") || has("linear"))) {
        // Timed beside float: small and depthwise layers are often slower on integers.
        const int8 = "quantize-int8:kernel=auto";
        return has("recurrent") ? `${int8} > quantize-weights` : int8;
      }
      // Without calibration only matrix products have a fast int8 form. Other layers keep computing
      // in float, from weights that are stored as int8.
      return has("linear") ? "quantize-dynamic > quantize-weights" : "quantize-weights";
    },
  },
  "deep-compression": {
    summary: "Prune, train, share weights, train the codebook, pack (Han et al. 2016); needs data.",
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
        // A warm restart: a new learning-rate schedule with a larger lambda, for fewer bytes.
        "train-rate:lambda=0.000013,ramp=0,rate=0.0007,epochs=8",
        "pack",
      ].join(" > "),
  },
} as const satisfies Record<string, Preset>;

export type PresetId = keyof typeof presets;

/** The preset of `compress` where neither a recipe nor a preset is given. */
export const defaultPreset: PresetId = "fast";

/**
 * The steps of a preset for this model. `hasCalibration` says whether calibration records will be
 * there, `target` where the user says that the model will run. Throws TersorError "bad-option" for an unknown name.
 */
export function presetRecipe(
  name: string,
  model: Model,
  hasCalibration: boolean,
  target: TargetDevice | null = null,
): Step[] {
  if (!Object.hasOwn(presets, name)) {
    const near = nearest(name, Object.keys(presets));
    const remedy = near
      ? `Did you mean "${near}"?`
      : `Give one of: ${Object.keys(presets).join(", ")}`;
    throw fail(errors.badOption("--preset", `there is no preset "${name}"`, remedy));
  }
  const preset: Preset = presets[name as PresetId];
  return parseRecipe(preset.recipe(model, hasCalibration, target));
}
