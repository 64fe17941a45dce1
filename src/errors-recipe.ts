/** @file The errors of methods, recipes and what surrounds them: a part of the catalogue in errors.ts. */
import type { ErrorInfo } from "./util/error.ts";

export const recipeErrors = {
  // methods/, recipe/
  unknownMethod: (where: string, name: string, near: string | undefined) => ({
    code: "unknown-method",
    what: `there is no method "${name}"`,
    where,
    remedy: near ? `Did you mean "${near}"? See: tersor methods` : "See: tersor methods",
  }),
  unknownOption: (
    where: string,
    name: string,
    near: string | undefined,
    known: readonly string[],
  ) => ({
    code: "unknown-option",
    what: `there is no option "${name}"`,
    where,
    remedy: near ? `Did you mean "${near}"?` : `Options: ${known.join(", ") || "none"}`,
  }),
  badRecipe: (where: string, why: string) => ({
    code: "bad-recipe",
    what: why,
    where,
    remedy: "Write steps as: method:option=value,option=value > method",
  }),
  needsData: (method: string, without = "") => ({
    code: "needs-data",
    what: "needs data to calibrate on",
    where: method,
    remedy: `Give --data or --calib (a few hundred unlabelled inputs are enough)${without}`,
  }),
  nothingKept: (recipe: string, why: string) => ({
    code: "nothing-kept",
    what: `changed nothing: ${why}`,
    where: recipe,
    remedy: "Try another method or gentler options",
  }),
  noMatch: (where: string, glob: string, near: string | undefined) => ({
    code: "no-match",
    what: `"${glob}" matches no layer`,
    where,
    remedy: near ? `Did you mean "${near}"?` : "See the layer names: tersor inspect",
  }),
  needsTraining: (where: string, without = "") => ({
    code: "needs-training",
    what: "needs records to train on, and there are none",
    where,
    remedy: `Give --calib with training data, e.g. --calib mnist:train${without}`,
  }),
  needsLabels: (where: string, without = "") => ({
    code: "needs-labels",
    what: "learns from labels, and the records to train on have none",
    where,
    remedy: `Give labelled data${without}`,
  }),
  needsTeacher: (where: string) => ({
    code: "needs-teacher",
    what: "learns from a teacher, and the only one is the model itself",
    where,
    remedy: "Give --teacher <model>, labels to learn from, or a step before it that compresses",
  }),
  badOption: (where: string, why: string, remedy = "See: tersor methods") => ({
    code: "bad-option",
    what: why,
    where,
    remedy,
  }),
  aborted: (where: string) => ({
    code: "aborted",
    what: "was interrupted",
    where,
    remedy: "Run it again",
  }),
  // recipe/ (presets, targets, surroundings)
  badTarget: (where: string, why: string, remedy: string) => ({
    code: "bad-target",
    what: why,
    where,
    remedy,
  }),
  badFeeds: (where: string, why: string, remedy: string) => ({
    code: "bad-feeds",
    what: why,
    where,
    remedy,
  }),
} satisfies Record<string, (...args: never[]) => ErrorInfo>;
