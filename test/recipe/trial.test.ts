/** @file The family under which a recipe is reported. */
import { expect, test } from "vitest";
import { parseRecipe } from "../../src/recipe/steps.ts";
import { familyOfRecipe } from "../../src/recipe/trial.ts";

test.each([
  ["prune-magnitude > share-weights", "quantization"],
  ["share-weights > prune-magnitude", "pruning"],
  ["factor-svd > prune-magnitude > quantize-weights", "quantization"],
  // What belongs to no family of the survey does not change it; alone it stands for itself.
  ["prune-magnitude > train", "pruning"],
  ["train > prune-magnitude > pack", "pruning"],
  ["train", "other"],
  // Controls are in no family.
  ["prune-random", "control"],
  ["factor-svd > prune-random", "low-rank"],
])("%s: %s", (recipe, family) => {
  expect(familyOfRecipe(parseRecipe(recipe))).toBe(family);
});

test("no steps: control", () => expect(familyOfRecipe([])).toBe("control"));
