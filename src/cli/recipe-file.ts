/** @file Recipes as the command line takes them: text, a JSON file, or a module such as tersor.config.ts. */
import { errors, fail } from "../errors.ts";
import { nodePlatform } from "../node/platform.ts";
import type { RecipeInput } from "../recipe/steps.ts";
import { splitQuoted } from "../util/quoted.ts";

const isFile = (text: string): boolean => /\.(json|[cm]?[jt]s)$/i.test(text.trim());

/** One recipe: an array of steps, `{ recipe }`, or text. Throws "no-such-file", "bad-recipe". */
export async function readRecipe(text: string): Promise<RecipeInput> {
  if (!isFile(text)) return text;
  const found = await readData(text);
  const recipe = isObject(found) && "recipe" in found ? found.recipe : found;
  if (isRecipe(recipe)) return recipe;
  throw fail(errors.badRecipe(text, "holds no array of steps and no { recipe }"));
}

/** Many: a JSON array or a module's, or a text file with one recipe a line; `#` begins a comment. */
export async function readRecipes(path: string): Promise<RecipeInput[]> {
  if (!isFile(path)) {
    const text = new TextDecoder().decode(await nodePlatform.files.read(path));
    const lines = text.split("\n").map((line) => splitQuoted(line, "#")[0].trim());
    const recipes = lines.filter((line) => line !== "");
    if (recipes.length > 0) return recipes;
    throw fail(errors.badRecipe(path, "holds no recipes"));
  }
  const found = await readData(path);
  const recipes = isObject(found) && "recipes" in found ? found.recipes : found;
  if (Array.isArray(recipes) && recipes.length > 0 && recipes.every(isRecipe)) return recipes;
  throw fail(errors.badRecipe(path, "holds no array of recipes"));
}

async function readData(path: string): Promise<unknown> {
  if (!/\.json$/i.test(path)) return nodePlatform.module(path);
  const text = new TextDecoder().decode(await nodePlatform.files.read(path));
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw fail(errors.badRecipe(path, `is not JSON (${(cause as Error).message})`), cause);
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isRecipe = (value: unknown): value is RecipeInput =>
  typeof value === "string" || (Array.isArray(value) && value.every(isObject));
