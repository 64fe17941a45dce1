/** @file Recipes as their methods work by themselves: no layer is left out because it loses much. */
import { formatRecipe, parseRecipe } from "../src/recipe/steps.ts";

/** The recipe with `rescue=false` in every step that has the option. */
export const raw = (recipe: string): string =>
  formatRecipe(
    parseRecipe(recipe).map((step) =>
      "rescue" in step.options ? { ...step, options: { ...step.options, rescue: false } } : step,
    ),
  );

/** The recipe as it was before `raw`. */
export const withoutRaw = (recipe: string): string =>
  formatRecipe(
    parseRecipe(recipe).map((step) =>
      "rescue" in step.options ? { ...step, options: { ...step.options, rescue: true } } : step,
    ),
  );
