/** @file Every method on real models of each kind; test/long tries the rest. */
import { describeRecipes, recipesOf, slow, small } from "./real-models.ts";

const isSlow = (recipe: string): boolean => slow.some((method) => recipe.startsWith(method));
describeRecipes(
  recipesOf(0, 1).filter((recipe) => !isSlow(recipe)),
  small,
);
describeRecipes(recipesOf(0, 1).filter(isSlow), small.slice(0, 1));
