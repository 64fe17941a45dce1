/** @file Every setting that a survey tries beyond each method's first, on real models. */
import { methods } from "../../src/methods/index.ts";
import { formatRecipe, parseRecipe } from "../../src/recipe/steps.ts";
import { describeRecipes } from "../methods/real-models.ts";

const recipes = Object.entries(methods).flatMap(([method, { survey }]) =>
  survey.slice(1).map((options) => formatRecipe(parseRecipe([{ method, ...options }] as never))),
);
describeRecipes(
  ["kws_dscnn", "sst2_transformer", "stories260k", "silero_vad_16k_op15", "ultraface_rfb_320"],
  recipes,
);
