/** @file Every setting that a survey tries beyond each method's first, on real models. */
import { describeRecipes, recipesOf } from "../methods/real-models.ts";

describeRecipes(recipesOf(1));
