/** @file Survey: many recipes on one model, one result row each; it can be stopped and resumed. */
import { families } from "../methods/index.ts";
import type { Method } from "../methods/method.ts";
import type { Environment } from "./environment.ts";
import type { Loaded } from "./load.ts";
import { checkNeeds, needsTraining } from "./needs.ts";
import { parseRecipe, type Step, surveySteps } from "./steps.ts";
import { nameOf } from "./trial.ts";
import { runTrials, type Trials, type TrialsOptions } from "./trials.ts";

/** Recipes that combine two families of methods, as the survey paper advises (section 8-A). */
const combinations = [
  "prune-magnitude:sparsity=0.8 > share-weights:bits=4",
  "factor-svd > quantize-int8",
  "share-weights:bits=4 > quantize-int8",
];

/**
 * Whether methods that train are among the recipes: they take far longer, and records have to be set
 * aside for them. "families": only the first method of a family.
 */
export type Trains = boolean | "families";

/**
 * The recipes of a survey where the user names none: the simplified original (no steps), then one
 * method of each family, and with `trains` the one that it is known for, so that even a short time
 * budget covers every family, then those that train nothing, the first setting of every method before
 * the others, then combinations, then those that train.
 */
export function surveyRecipes(trains: Trains = false): Step[][] {
  const first: Step[][] = [];
  const others: { readonly turn: number; readonly steps: Step[] }[] = [];
  for (const family of Object.values(families)) {
    const own = Object.entries(family as Readonly<Record<string, Pick<Method, "survey">>>);
    const tried = own
      .flatMap(([id, { survey }]) =>
        survey.map((options, turn) => ({ turn, steps: surveySteps(id, options) })),
      )
      .filter(({ steps }) => trains !== false || !needsTraining(steps));
    const [main] = tried;
    if (!main) continue;
    // The method that the family is known for, and before it one that trains nothing.
    const quiet = tried.find(({ steps }) => !needsTraining(steps)) ?? main;
    const firsts = new Set([quiet, main]);
    first.push(...[...firsts].map(({ steps }) => steps));
    const rest = tried.filter((one) => !firsts.has(one));
    others.push(...rest.filter(({ steps }) => trains === true || !needsTraining(steps)));
  }
  const rest = others.toSorted((a, b) => a.turn - b.turn).map(({ steps }) => steps);
  const combined = combinations.map((text) => parseRecipe(text));
  const training = rest.filter(needsTraining);
  const quick = rest.filter((steps) => !needsTraining(steps));
  return [[], ...first, ...quick, ...combined, ...training];
}

/** What a survey runs, and where it reports; everything has a default. */
export interface SurveyOptions extends TrialsOptions {
  /** Default: `surveyRecipes(trains)`. */
  readonly recipes?: readonly (readonly Step[])[] | undefined;
  readonly trains?: Trains | undefined;
}

/**
 * Measures the original and then one trial per recipe. If `options.recipes` are given, their needs
 * must all be met: otherwise TersorError "needs-data", "needs-training" or "needs-labels" is thrown
 * before any work. Default recipes whose needs are not met are left out, with the reason in `left`.
 * Also throws what `runTrials` throws.
 */
export async function survey(
  loaded: Loaded,
  env: Environment,
  { recipes: given, trains, ...options }: SurveyOptions = {},
): Promise<Trials> {
  for (const steps of given ?? []) checkNeeds(steps, env);
  const recipes = uniqueRecipes(given ?? surveyRecipes(trains));
  const order = recipes.map(nameOf);
  const isAsked = ({ recipe }: { readonly recipe: string }): boolean => order.includes(recipe);
  const source = {
    total: recipes.length,
    order,
    isFixed: true,
    async *propose() {
      yield* recipes;
    },
  };
  return runTrials(loaded, env, source, {
    ...options,
    done: options.done?.filter(isAsked),
    doneErrors: options.doneErrors?.filter(isAsked),
  });
}

/** Recipes without repetitions: a recipe's name stands for its row and its file. */
function uniqueRecipes(recipes: readonly (readonly Step[])[]): (readonly Step[])[] {
  return [...new Map(recipes.map((steps) => [nameOf(steps), steps])).values()];
}
