/** @file The family under which a recipe is reported, and what is said of a slow product. */
import { expect, test } from "vitest";
import { untimed } from "../../src/measure/measurement.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import { familyOfRecipe, ifSlow } from "../../src/recipe/trial.ts";

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

test.each([
  ["prune-magnitude > quantize-int8", [0.7, 0.9], "prune-magnitude > quantize-int8:kernel=auto"],
  // What may be chance, what is faster, and what other settings cannot mend.
  ["quantize-int8", [0.9, 1.1], null],
  ["quantize-int8", [1.1, 1.2], null],
  ["quantize-int8", null, null],
  ["quantize-int8:kernel=auto", [0.7, 0.9], null],
  ["quantize-weights", [0.7, 0.9], null],
] as const)("%s at %s of the speed", (recipe, interval, other) => {
  const ci95 = { ...untimed.ci95, infer: interval && ([...interval] as [number, number]) };
  const told = ifSlow(parseRecipe(recipe), { delta: { ...untimed, infer: interval && 0.8, ci95 } });
  const text = `the product takes 1.25 times as long as the original: try ${other}`;
  expect(told).toEqual(other ? [text] : []);
});
