/** @file Survey: many recipes on one model, one result row each; it can be stopped and resumed. */
import { isAborted, TersorError } from "../errors.ts";
import type { Model } from "../ir/model.ts";
import type { Result } from "../measure/measurement.ts";
import { basisOf } from "../measure/speed.ts";
import { families } from "../methods/index.ts";
import type { Method } from "../methods/method.ts";
import { sha256Text } from "../util/sha256.ts";
import { assessBaseline, type Baseline } from "./assess.ts";
import { checkpoint, type Environment } from "./environment.ts";
import { createLayerErrors, type LayerErrors } from "./layer-errors.ts";
import type { Loaded } from "./load.ts";
import { checkNeeds, needsTraining, unmetNeed } from "./needs.ts";
import { paretoOf } from "./pareto.ts";
import { keepsNorms, parseRecipe, type Step, surveySteps } from "./steps.ts";
import { nameOf, runTrial, simplify, type Trial } from "./trial.ts";

/** Recipes that combine two families of methods, as the survey paper advises (section 8-A). */
const combinations = [
  "prune-magnitude:sparsity=0.8 > share-weights:bits=4",
  "factor-svd > quantize-int8",
  "share-weights:bits=4 > quantize-int8",
];

/**
 * The recipes of a survey where the user names none: the simplified original (no steps), then one
 * method of each family, so that even a short time budget covers every family, then those that train
 * nothing, the first setting of every method before the others, then combinations, then those that
 * train. Methods that train are among them only with `trains`: they take far longer, and records
 * have to be set aside for them.
 */
export function surveyRecipes(trains = false): Step[][] {
  const first: Step[][] = [];
  const others: { readonly turn: number; readonly steps: Step[] }[] = [];
  for (const family of Object.values(families)) {
    const own = Object.entries(family as Readonly<Record<string, Pick<Method, "survey">>>);
    const tried = own
      .flatMap(([id, { survey }]) =>
        survey.map((options, turn) => ({ turn, steps: surveySteps(id, options) })),
      )
      .filter(({ steps }) => trains || !needsTraining(steps));
    const best = tried.find(({ steps }) => !needsTraining(steps)) ?? tried[0];
    if (best) first.push(best.steps);
    others.push(...tried.filter((one) => one !== best));
  }
  const rest = others.toSorted((a, b) => a.turn - b.turn).map(({ steps }) => steps);
  const combined = combinations.map((text) => parseRecipe(text));
  const training = rest.filter(needsTraining);
  const quick = rest.filter((steps) => !needsTraining(steps));
  return [[], ...first, ...quick, ...combined, ...training];
}

/** What a survey runs, and where it reports; everything has a default. */
export interface SurveyOptions {
  /** Default: `surveyRecipes()`. */
  readonly recipes?: readonly (readonly Step[])[];
  /** After this many seconds no further trial is started (default: no limit). */
  readonly budgetSeconds?: number | undefined;
  /** Rows of an earlier, interrupted run; their recipes are not run again. */
  readonly done?: readonly Result[] | undefined;
  /** The errors of their layers, as far as they are known. */
  readonly doneErrors?: readonly LayerErrors[] | undefined;
  /** The path that `result.file` names for a recipe; without it, files are null. */
  readonly fileOf?: ((recipe: string) => string) | undefined;
  /**
   * Called with the original's row, then with each row as soon as its trial is measured, so that an
   * interrupted survey loses at most one trial. `bytes` is the trial's ONNX file; null for the
   * original. Rows of `done` are in `soFar` from the first call on.
   */
  readonly onRow?: (
    result: Result,
    bytes: Uint8Array | null,
    soFar: SurveySoFar,
  ) => Promise<void> | void;
}

/** What a survey knows after a trial. */
export interface SurveySoFar {
  /** All rows: the original's first, then in the order of the recipes. */
  readonly results: readonly Result[];
  /** The recipes on the Pareto front. */
  readonly pareto: readonly string[];
  /** The error of each layer, for each recipe with a row. */
  readonly errors: readonly LayerErrors[];
}

/** A recipe that was not measured. */
export interface Left {
  readonly recipe: string;
  readonly reason: string;
  /** Whether only time was missing, so that a survey that goes on will measure it. */
  readonly later: boolean;
}

/** The result of a survey. */
export interface Survey extends SurveySoFar {
  readonly baseline: Result;
  readonly left: readonly Left[];
  /**
   * Errors in a method that are not a TersorError, that is, mistakes in its code. Such an error
   * ends the trial but not the survey.
   */
  readonly warnings: readonly string[];
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
  const recipes = uniqueRecipes(options.recipes ?? surveyRecipes());
  const start = simplify(loaded.model);
  const { result, ...opened } = await assessBaseline(loaded, env, { simplified: start });
  const known = <T extends { readonly recipe: string }>(rows: readonly T[] = []) =>
    recipes.map((steps) => rows.find(({ recipe }) => recipe === nameOf(steps)) ?? null);
  /** The row and the layers' errors of each recipe; null where there are none yet. */
  const rows = known(options.done);
  const earlier = rows.filter((row) => row !== null);
  const baseline = { ...opened, result: { ...result, latency: basisOf(earlier, result.latency) } };
  const errors = known(options.doneErrors).map((own, i) => rows[i] && own);
  const left: Left[] = [];
  const warnings: string[] = [];
  const soFar = (): SurveySoFar => {
    const results = [baseline.result, ...rows.filter((row) => row !== null)];
    return {
      results,
      pareto: paretoOf(results),
      errors: errors.filter((own) => own !== null),
    };
  };
  const warn = (text: string): void => {
    warnings.push(text);
    env.onEvent({ type: "warning", text });
  };
  try {
    await options.onRow?.(baseline.result, null, soFar());
    const layerErrors = await createLayerErrors(start, env);
    for (const [i, steps] of recipes.entries()) {
      await checkpoint(env, "survey");
      const recipe = nameOf(steps);
      env.onEvent({ type: "progress", what: "survey", done: i, total: recipes.length });
      if (rows[i]) continue;
      const unmet = unmetNeed(steps, env);
      if (unmet) left.push({ recipe, reason: unmet.what, later: false });
      else if (elapsed() > (options.budgetSeconds ?? Infinity)) {
        const reason = `the budget of ${options.budgetSeconds} s was used up`;
        left.push({ recipe, reason, later: true });
      } else {
        const file = options.fileOf?.(recipe) ?? null;
        const own = { ...baseline, env: await scoped(env, recipe) };
        const row = await attempt(own, start, steps, file, layerErrors);
        if ("reason" in row) {
          left.push({ recipe, reason: row.reason, later: false });
          if (row.isMistake) warn(`${recipe}: ${row.reason}`);
        } else {
          rows[i] = row.result;
          errors[i] = row.errors;
          await options.onRow?.(row.result, row.outcome.bytes, soFar());
        }
      }
    }
  } finally {
    await baseline.close();
  }
  const found = soFar();
  return { ...found, baseline: found.results[0], left, warnings, seconds: elapsed() };
}

/** Recipes without repetitions: a recipe's name stands for its row and its file. */
function uniqueRecipes(recipes: readonly (readonly Step[])[]): (readonly Step[])[] {
  return [...new Map(recipes.map((steps) => [nameOf(steps), steps])).values()];
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
    if (isAborted(cause)) throw cause;
    return { reason: cause.what, isMistake: false };
  }
}
