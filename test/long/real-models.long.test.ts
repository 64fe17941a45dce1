/** @file Every setting that a survey tries beyond each method's first, on real models; on large ones that too. */
import { describeRecipes, large, recipesOf, small } from "../methods/real-models.ts";

describeRecipes(recipesOf(1), small);
describeRecipes(recipesOf(0), large);
