/**
 * @file Every setting that a survey tries beyond each method's first, on real models; on large
 * ones that too, and slow methods on all.
 */
import { describeRecipes, large, recipesOf, slow, small } from "../methods/real-models.ts";

describeRecipes(recipesOf(1), small);
describeRecipes([...slow], small.slice(1));
describeRecipes(recipesOf(0), large);
