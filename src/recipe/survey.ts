/** @file Survey: many recipes on one model, one result row each; it can be stopped and resumed. */
import { TersorError } from "../errors.ts";
import type { Model } from "../ir/model.ts";
import type { Latency, Result } from "../measure/measurement.ts";
import { methods } from "../methods/index.ts";
import { sha256Text } from "../util/sha256.ts";
import { assessBaseline, type Baseline } from "./assess.ts";
import { checkpoint, type Environment } from "./environment.ts";
import { createLayerErrors, type LayerErrors } from "./layer-errors.ts";
import type { Loaded } from "./load.ts";
import { checkNeeds, unmetNeed } from "./needs.ts";
import { paretoOf } from "./pareto.ts";
import { keepsNorms, parseRecipe, type Step } from "./steps.ts";
import { nameOf, runTrial, simplify, type Trial } from "./trial.ts";

/** Recipes that combine two families of methods, as the survey paper advises (section 8-A). */
const combinations = [
  "prune-magnitude:sparsity=0.8 > share-weights:bits=4",
  "factor-svd:energy=0.9 > quantize-int8",
  "share-weights:bits=4 > quantize-int8",
];

/**
 * The recipes of a survey where the user names none: the simplified original (no steps), then the
 * first setting of every method, then their other settings, then combinations. In this order even a
 * short time budget covers every family.
 */
export function surveyRecipes(): Step[][] {
  const settings = Object.entries(methods).flatMap(([method, { survey }]) =>
    survey.map((options, turn) => ({ turn, step: { method, ...options } })),
  );
  const single = settings
    .toSorted((a, b) => a.turn - b.turn)
    .map(({ step }) => parseRecipe([step as never]));
  return [[], ...single, ...combinations.map((text) => parseRecipe(text))];
}

/** What a survey runs, and where it reports; everything has a default. */
export interface SurveyOptions {
  /** Default: `surveyRecipes()`. */
  readonly recipes?: readonly (readonly Step[])[];
  /** After this many seconds no further trial is started (default: no limit). */
  readonly budgetSeconds?: number | undefined;
  /** Rows of an earlier, interrupted run; their recipes are not run again. */
  readonly done?: readonly Result[] | undefined;
  /** The path that `result.file` names for a recipe; without it, files are null. */
  readonly fileOf?: ((recipe: string) => string) | undefined;
  /**
   * Called with the original's row, then with each row as soon as its trial is measured, so that an
   * interrupted survey loses at most one trial. `bytes` is the trial's ONNX file; null for the
   * original and for rows of `done`. `results` and `pareto` are those up to this row.
   */
  readonly onRow?: (
    result: Result,
    bytes: Uint8Array | null,
    results: readonly Result[],
    pareto: readonly string[],
  ) => Promise<void> | void;
}

/** The result of a survey. */
export interface Survey {
  readonly baseline: Result;
  /** All rows, the original's first. */
  readonly results: readonly Result[];
  /** The recipes on the Pareto front. */
  readonly pareto: readonly string[];
  /** The recipes that were not measured, each with the reason. */
  readonly left: readonly { readonly recipe: string; readonly reason: string }[];
  /**
   * Errors in a method that are not a TersorError, that is, mistakes in its code. Such an error
   * ends the trial but not the survey.
   */
  readonly warnings: readonly string[];
  /** The error of each layer, for each recipe that was measured in this run. */
  readonly errors: readonly LayerErrors[];
  readonly seconds: number;
}

/**
 * Measures the original and then one trial per recipe. If `options.recipes` are given, their needs
 * must all be met: otherwise TersorError "needs-data", "needs-training" or "needs-labels" is thrown
 * before any work. Default recipes whose needs are not met are left out, with the reason in `left`.
 * Also throws "implausible-baseline" and "aborted"; other errors of a trial only end that trial.
 */
export async function survey(
  loaded: Loaded,
  env: Environment,
  options: SurveyOptions = {},
): Promise<Survey> {
  const began = env.platform.wallMs();
  for (const steps of options.recipes ?? []) checkNeeds(steps, env);
  const elapsed = (): number => (env.platform.wallMs() - began) / 1000;
  const baseline = await assessBaseline(loaded, env);
  const results: Result[] = [];
  const left: { recipe: string; reason: string }[] = [];
  const warnings: string[] = [];
  const errors: LayerErrors[] = [];
  const timings: Latency[] = [];
  const add = async (result: Result, bytes: Uint8Array | null, beside?: Latency): Promise<void> => {
    results.push(result);
    // The original is timed again beside every trial. Its row shows the median of these timings.
    if (beside) timings.push(beside);
    const middle = timings.toSorted((a, b) => a.median - b.median)[timings.length >> 1];
    if (middle) results[0] = { ...results[0], latency: middle };
    await options.onRow?.(result, bytes, results, paretoOf(results));
  };
  const warn = (text: string): void => {
    warnings.push(text);
    env.onEvent({ type: "warning", text });
  };
  try {
    await add(baseline.result, null);
    const start = simplify(loaded.model);
    const layerErrors = await createLayerErrors(start, env);
    const recipes = options.recipes ?? surveyRecipes();
    for (const [i, steps] of recipes.entries()) {
      await checkpoint(env, "survey");
      const recipe = nameOf(steps);
      env.onEvent({ type: "progress", what: "survey", done: i, total: recipes.length });
      const earlier = options.done?.find((row) => row.recipe === recipe);
      const unmet = unmetNeed(steps, env);
      if (earlier) await add(earlier, null);
      else if (unmet) left.push({ recipe, reason: unmet.what });
      else if (elapsed() > (options.budgetSeconds ?? Infinity)) {
        left.push({ recipe, reason: `the budget of ${options.budgetSeconds} s was used up` });
      } else {
        const file = options.fileOf?.(recipe) ?? null;
        const own = { ...baseline, env: await scoped(env, recipe) };
        const row = await attempt(own, start, steps, file, layerErrors);
        if ("reason" in row) {
          left.push({ recipe, reason: row.reason });
          if (row.isMistake) warn(`${recipe}: ${row.reason}`);
        } else {
          errors.push(row.errors);
          await add(row.result, row.outcome.bytes, row.beside);
        }
      }
    }
  } finally {
    await baseline.session.close();
  }
  const pareto = paretoOf(results);
  return { baseline: results[0], results, pareto, left, warnings, errors, seconds: elapsed() };
}

/**
 * The environment with checkpoint names that begin with a hash of the recipe, because steps of two
 * recipes may have the same number and name but train different models.
 */
async function scoped(env: Environment, recipe: string): Promise<Environment> {
  const { checkpoints } = env;
  if (!checkpoints) return env;
  const prefix = (await sha256Text(recipe)).slice(0, 8);
  const own = (name: string): string => `${prefix} ${name}`;
  return {
    ...env,
    checkpoints: {
      load: (name) => checkpoints.load(own(name)),
      save: (name, bytes) => checkpoints.save(own(name), bytes),
      where: (name) => checkpoints.where(own(name)),
    },
  };
}

interface Attempted extends Trial {
  readonly errors: LayerErrors;
}

/**
 * Why there is no trial. `isMistake`: the error is not a TersorError, so the code has a mistake.
 */
interface Failed {
  readonly reason: string;
  readonly isMistake: boolean;
}

/**
 * Runs one trial and returns its error instead of throwing it, so that the survey goes on; only
 * "aborted" is thrown. `start` is the simplified model that recipes share;
 * those that train, or read normalizations, get their own, in which BatchNormalization is kept.
 */
async function attempt(
  baseline: Baseline,
  start: Model,
  steps: readonly Step[],
  file: string | null,
  layerErrors: (recipe: string, model: Model) => Promise<LayerErrors>,
): Promise<Attempted | Failed> {
  try {
    const own = steps.some(keepsNorms) ? simplify(baseline.loaded.model, steps) : start;
    const trial = await runTrial(baseline, own, steps, { file, whole: true });
    return { ...trial, errors: await layerErrors(nameOf(steps), trial.outcome.model) };
  } catch (cause) {
    if (!(cause instanceof TersorError)) {
      return { reason: `internal error: ${cause}`, isMistake: true };
    }
    if (cause.code === "aborted") throw cause;
    return { reason: cause.what, isMistake: false };
  }
}
