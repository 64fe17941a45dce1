/** @file What the functions of the API make of their inputs: recipes, and what to say of a run. */
import type { CompressOptions, SurveyInput } from "./api-types.ts";
import { errors, fail, TersorError } from "./errors.ts";
import type { Environment } from "./recipe/environment.ts";
import { jobHash, type OpenJob } from "./recipe/job.ts";
import type { Kept } from "./recipe/keeper.ts";
import type { Loaded } from "./recipe/load.ts";
import type { Settings } from "./recipe/prepare.ts";
import { defaultPreset, presetRecipe } from "./recipe/presets.ts";
import { type MethodRef, parseRecipe, type Step } from "./recipe/steps.ts";
import type { Trains } from "./recipe/survey.ts";
import { targetNamed } from "./targets/index.ts";

/** Whether the usual recipes of a survey train: where asked, and one of a family with data for it. */
export const trainsIn = ({ trains, calib }: SurveyInput): Trains =>
  trains ?? (calib ? "families" : false);

export function stepsOf<M extends readonly MethodRef[]>(
  model: Loaded,
  options: CompressOptions<M>,
  hasCalibration: boolean,
): Step[] {
  if (options.recipe === undefined) {
    const target = options.on === undefined ? null : targetNamed(options.on, "--on");
    return presetRecipe(options.preset ?? defaultPreset, model.model, hasCalibration, target);
  }
  if (options.preset === undefined) return parseRecipe(options.recipe);
  throw fail(errors.badUsage("compress", "got a recipe and a preset", "Give one of them"));
}

/** The user's keeper under what the original's figures depend on; null without one. */
export const keptUnder = async (job: OpenJob, { keeper }: Settings): Promise<Kept | null> =>
  keeper ? { keeper, key: await jobHash(job) } : null;

/** The environment, if versions of the model can be run; else throws why they cannot. */
export function runnable(env: Environment): Environment {
  if (env.unrun) throw env.unrun;
  return env;
}

/**
 * A handler for errors of `prepare` in `inspect`: a model that does not open or run is inspected
 * without times, with a warning; other errors are thrown.
 */
export function untimed({ onEvent }: Settings) {
  return (cause: unknown): null => {
    const isTheModel =
      cause instanceof TersorError &&
      ["cannot-open", "bad-feeds", "too-large"].includes(cause.code);
    if (!isTheModel) throw cause;
    onEvent?.({ type: "warning", text: `nothing is timed: ${cause.message}` });
    return null;
  };
}

/** The name of the data in reports. */
export function specOf(data: Settings["data"]): string | null {
  return typeof data === "string" ? data : (data?.spec ?? null);
}
