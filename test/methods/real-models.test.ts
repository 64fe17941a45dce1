/** @file Every method on real models of each kind; test/long tries its other settings. */
import { describeRecipes, recipesOf, small } from "./real-models.ts";

describeRecipes(recipesOf(0, 1), small);
