/** @file Reads recipes given as text, a JSON file, or a module such as tersor.config.ts. */
import { errors, fail } from "../errors.ts";
import { nodePlatform } from "../node/platform.ts";
import type { RecipeInput } from "../recipe/steps.ts";
import { splitQuoted } from "../util/quoted.ts";

const isFile = (text: string): boolean => /\.(json|[cm]?[jt]s)$/i.test(text.trim());

/**
 * Whether the text begins as a recipe does, "method:" or "method >". Such a text may end like the
 * name of a file (`share-weights:only=layer.js`). "C:" is no method but a drive.
 */
const isRecipeText = (text: string): boolean => /^\s*[a-z][a-z0-9-]+\s*[:>]/.test(text);

/**
 * Reads one recipe. `text` is the recipe itself, or the name of a .json, .js or .ts file that holds
 * an array of steps or an object `{ recipe }`. Throws TersorError "no-such-file" or "bad-recipe".
 */
export async function readRecipe(text: string): Promise<RecipeInput> {
  if (!isFile(text) || (isRecipeText(text) && !nodePlatform.files.exists(text))) return text;
  const found = await readData(text);
  const recipe = isObject(found) && "recipe" in found ? found.recipe : found;
  if (isRecipe(recipe)) return recipe;
  throw fail(errors.badRecipe(text, "holds no array of steps and no { recipe }"));
}

/**
 * Reads several recipes: an array (or `{ recipes }`) in a JSON file or module, or a text file with
 * one recipe per line, in which `#` begins a comment. Throws "no-such-file" or "bad-recipe".
 */
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

/** The content of a JSON file, or the default export of a module. */
export async function readData(path: string): Promise<unknown> {
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
