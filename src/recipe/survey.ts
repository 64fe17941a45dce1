/** @file Survey: every method at its telling settings on one model; anytime and resumable. */
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
import { isTraining, parseRecipe, type Step } from "./steps.ts";
import { nameOf, runTrial, simplify, type Trial } from "./trial.ts";

/** Families combined, as the survey advises (section 8-A): what one method leaves, the next takes. */
const combinations = [
  "prune-magnitude:sparsity=0.8 > share-weights:bits=4",
  "factor-svd:energy=0.9 > quantize-int8",
  "share-weights:bits=4 > quantize-int8",
];

/**
 * The simplified original, then every method once, then their other settings, then combinations: a
 * short budget reaches every family.
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

export interface SurveyOptions {
  readonly recipes?: readonly (readonly Step[])[];
  /** No new trial starts after this long. */
  readonly budgetSeconds?: number | undefined;
  /** Rows of an earlier, interrupted run: their recipes are not run again. */
  readonly done?: readonly Result[] | undefined;
  /** Where a trial's model goes; null keeps none. */
  readonly fileOf?: ((recipe: string) => string) | undefined;
  /**
   * Called with the original's row, then as soon as each trial is measured, so that an interrupted
   * survey loses at most one. No bytes: the original, or a row of `done`. `results` and `pareto` are
   * those so far.
   */
  readonly onRow?: (
    result: Result,
    bytes: Uint8Array | null,
    results: readonly Result[],
    pareto: readonly string[],
  ) => Promise<void> | void;
}

export interface Survey {
  readonly baseline: Result;
  /** The original's row first. */
  readonly results: readonly Result[];
  readonly pareto: readonly string[];
  /** Recipes that were not measured, and why. */
  readonly left: readonly { readonly recipe: string; readonly reason: string }[];
  /** Mistakes of methods: errors that are no TersorError. They end no survey, and are not hidden. */
  readonly warnings: readonly string[];
  /** Layer by layer, for the recipes measured here. */
  readonly errors: readonly LayerErrors[];
  readonly seconds: number;
}

/**
 * Recipes that were named must all be possible: throws TersorError "needs-data" and the like before
 * any work. Of the usual ones those that are not possible are left, with the reason.
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
    // The original is timed beside every trial: its middle round is the fairest figure for its row.
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

/** Checkpoints of one recipe: step 2 of another may be called alike and train another model. */
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

/** Why there is no trial; a mistake is an error that nobody meant to raise. */
interface Failed {
  readonly reason: string;
  readonly isMistake: boolean;
}

/** One method's trouble is no reason to lose the others. `start` is for recipes that do not train. */
async function attempt(
  baseline: Baseline,
  start: Model,
  steps: readonly Step[],
  file: string | null,
  layerErrors: (recipe: string, model: Model) => Promise<LayerErrors>,
): Promise<Attempted | Failed> {
  try {
    const own = steps.some(isTraining) ? simplify(baseline.loaded.model, steps) : start;
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
