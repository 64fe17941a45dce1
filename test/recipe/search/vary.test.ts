/** @file Recipes made from recipes are valid, and the same seed makes the same ones. */
import { expect, test } from "vitest";
import { familyOf } from "../../../src/methods/index.ts";
import { createRandom } from "../../../src/numeric/random.ts";
import { describeOptions } from "../../../src/options.ts";
import { layersOf } from "../../../src/recipe/layer-choice.ts";
import { drawn, near, sorted, vary } from "../../../src/recipe/search/vary.ts";
import { formatRecipe, parseRecipe } from "../../../src/recipe/steps.ts";
import { nets } from "../../support/nets.ts";

const layers = layersOf(nets.find(({ name }) => name === "gemms")!.model);
const atoms = [
  "share-weights:bits=3",
  "prune-magnitude:sparsity=0.5",
  "factor-svd",
  "quantize-hqq",
].map((text) => parseRecipe(text));

test("variations parse to themselves, change something, and repeat with the seed", () => {
  const made = (seed: number) => {
    const pool = { atoms, layers, random: createRandom(seed) };
    let genes = parseRecipe("prune-magnitude:sparsity=0.8 > quantize-weights:bits=4");
    return Array.from({ length: 60 }, () => {
      const child = vary(genes, atoms[0], pool);
      if (!child) return "";
      expect(formatRecipe(child)).not.toBe(formatRecipe(genes));
      expect(formatRecipe(parseRecipe(formatRecipe(child)))).toBe(formatRecipe(child));
      // What changes layers comes before what stores them.
      const stores = child.map(({ id }) => familyOf(id) === "quantization");
      expect(stores.lastIndexOf(false)).toBeLessThan(
        stores.includes(true) ? stores.indexOf(true) : child.length,
      );
      genes = child;
      return formatRecipe(child);
    });
  };
  expect(made(1)).toEqual(made(1));
  expect(made(1)).not.toEqual(made(2));
  const all = [1, 2, 3].flatMap(made);
  // Each kind of variation was drawn: other values, more steps, a layer left out.
  expect(all.some((text) => /except=/.test(text))).toBe(true);
  expect(all.some((text) => text.split(">").length > 2)).toBe(true);
  expect(
    new Set(all.flatMap((text) => text.match(/(sparsity|bits)=[\d.]+/g) ?? [])).size,
  ).toBeGreaterThan(5);
});

test("a number near another stays within its limits, whole where it has to be", () => {
  const [{ method }] = parseRecipe("quantize-weights");
  const bits = describeOptions(method.options).find(({ name }) => name === "bits")!;
  const random = createRandom(3);
  for (let i = 0; i < 50; i++) {
    const value = near(bits, 8, random) as number;
    expect(Number.isInteger(value)).toBe(true);
    expect(value).toBeGreaterThanOrEqual(bits.minimum!);
    expect(value).toBeLessThanOrEqual(bits.maximum!);
  }
});

test("steps are put in the order of what they do; random recipes have one method a family", () => {
  const steps = parseRecipe("share-weights > factor-svd > prune-channels");
  expect(formatRecipe(sorted(steps))).toBe("prune-channels > factor-svd > share-weights");
  const random = createRandom(5);
  for (let i = 0; i < 30; i++) {
    const recipe = drawn({ atoms, layers, random });
    const families = recipe.map(({ id }) => familyOf(id));
    expect(new Set(families).size).toBe(families.length);
    expect(recipe.length).toBeGreaterThan(0);
  }
});
