/** @file Advises recipes for a model, and measures those for which most speaks. */
import { adviceFor, type Checked, checkedAdvice, type Wish } from "./advice.ts";
import type { Environment } from "./environment.ts";
import { type Facts, factsOf } from "./facts.ts";
import type { Loaded } from "./load.ts";
import { unmetNeed } from "./needs.ts";
import { parseRecipe } from "./steps.ts";
import { type SurveyOptions, survey } from "./survey.ts";
import { nameOf, simplify } from "./trial.ts";
import type { Trials } from "./trials.ts";

export interface AdviseOptions extends Omit<SurveyOptions, "recipes"> {
  readonly wish: Wish;
  /** How many recipes are measured, at most (default 4). */
  readonly measured?: number | undefined;
}

export interface Advised {
  readonly facts: Facts;
  /** The confirmed ones first, the best of them by the goal at the top. */
  readonly advice: readonly Checked[];
  readonly trials: Trials;
}

/** Throws what `survey` throws; a recipe that fails is told in its verdict. */
export async function advise(
  loaded: Loaded,
  env: Environment,
  { wish, measured = 4, ...options }: AdviseOptions,
): Promise<Advised> {
  const facts = factsOf(simplify(loaded.model), env);
  const advice = adviceFor(facts, wish).map((one) => {
    return { ...one, recipe: nameOf(parseRecipe(one.recipe)) };
  });
  const possible = advice.filter(({ recipe }) => unmetNeed(parseRecipe(recipe), env) === null);
  const recipes = possible.slice(0, measured).map(({ recipe }) => parseRecipe(recipe));
  const trials = await survey(loaded, env, { ...options, recipes });
  const rows = new Map(trials.results.map((row) => [row.recipe, row]));
  const reasons = new Map(trials.left.map(({ recipe, reason }) => [recipe, reason]));
  for (const { recipe } of possible.slice(measured)) {
    reasons.set(recipe, "more speaks for the others");
  }
  for (const { recipe } of advice) {
    const unmet = unmetNeed(parseRecipe(recipe), env);
    if (unmet) reasons.set(recipe, unmet.what);
  }
  return { facts, advice: checkedAdvice(advice, rows, reasons, wish), trials };
}
