/** @file Compress: one recipe on one model, measured beside the original. */
import { errors, fail } from "../errors.ts";
import type { GroupChange, Result } from "../measure/measurement.ts";
import { packSmallest } from "../measure/pack.ts";
import { type Written, writeFile } from "../onnx/write.ts";
import type { Environment } from "./environment.ts";
import { baselineFor, type Kept } from "./keeper.ts";
import type { Loaded } from "./load.ts";
import { checkNeeds } from "./needs.ts";
import type { TrainingRun } from "./step-context.ts";
import type { Step } from "./steps.ts";
import { runTrial, simplify, sourceOf } from "./trial.ts";

/** The recipe to apply, and how. */
export interface CompressPlan {
  readonly steps: readonly Step[];
  /**
   * Whether to simplify the model losslessly (default true), before the steps and after training.
   */
  readonly simplify?: boolean;
  /** The model has not been trained yet, so it may score at chance (default false). */
  readonly untrained?: boolean;
  /** Path that `result.file` will name; nothing is written here. Null if no file is written. */
  readonly file?: string | null;
  /** Holds the measured original for the next recipe (default: it is measured for this one). */
  readonly kept?: Kept | null;
}

/** A compressed model with its measurements. */
export interface Compressed {
  /** The original's row. */
  readonly baseline: Result;
  readonly result: Result;
  /** The compressed model as an ONNX file, made when it is asked for. */
  readonly bytes: Uint8Array;
  /** The same in pieces, as the file `name`; with weights of more than 2 GB in `name`.data. */
  write(name: string): Written;
  /** The compressed model as a .tersor file. */
  pack(): Uint8Array;
  /** For structured pruning: the channels before and after of each group of coupled channels. */
  readonly groups: readonly GroupChange[];
  /** One entry per run of training, in order. */
  readonly training: readonly TrainingRun[];
  /** Wall time, baseline and measurements included. */
  readonly seconds: number;
}

/**
 * Applies one recipe to a loaded model and measures the result beside the original. Throws
 * TersorError "bad-recipe", "needs-data", "needs-training" or "needs-labels" before any work,
 * "implausible-baseline", "aborted", and whatever error a method raises.
 */
export async function compress(
  loaded: Loaded,
  env: Environment,
  plan: CompressPlan,
): Promise<Compressed> {
  if (plan.steps.length === 0 && plan.simplify === false) {
    throw fail(errors.badRecipe("recipe", "only simplifies, which is switched off"));
  }
  checkNeeds(plan.steps, env);
  const began = env.platform.wallMs();
  const { steps, file = null, simplify: isSimplified = true } = plan;
  const { untrained = false, kept = null } = plan;
  const simplified = isSimplified ? simplify(loaded.model) : null;
  const baseline = await baselineFor(loaded, env, { untrained, simplified }, kept);
  try {
    const start = isSimplified ? simplify(loaded.model, steps) : loaded.model;
    const options = { file, simplify: isSimplified };
    const { outcome, result } = await runTrial(baseline, start, steps, options);
    const seconds = (env.platform.wallMs() - began) / 1000;
    const { model, groups, training } = outcome;
    return {
      ...{ baseline: baseline.result, result, groups, training, seconds },
      get bytes() {
        return outcome.bytes;
      },
      write: (name) => writeFile(model, name),
      pack: () => packSmallest({ name: result.recipe, source: sourceOf(outcome), model }).bytes,
    };
  } finally {
    await baseline.close();
  }
}
