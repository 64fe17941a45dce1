/** @file Recipes as text or data: `prune-magnitude:sparsity=0.9 > share-weights:bits=5`. */
import { errors, fail } from "../errors.ts";
import { type MethodId, methodOf, methods } from "../methods/index.ts";
import { type Method, needsOf } from "../methods/method.ts";
import { parseOptions } from "../options.ts";
import { nearest } from "../util/nearest.ts";

/** A method with all its options, checked. */
export interface Step {
  /** What recipes and reports call the method. */
  readonly id: string;
  readonly method: Method;
  readonly options: Readonly<Record<string, unknown>>;
}

/** A step as a program or a JSON file writes it: options left out take their defaults. */
export type StepInput = {
  [K in MethodId]: { readonly method: K } & Partial<InputOf<K>>;
}[MethodId];
type InputOf<K extends MethodId> = Exclude<(typeof methods)[K]["survey"][number], undefined>;

export type RecipeInput = string | readonly StepInput[];

/** Throws TersorError "bad-recipe", "unknown-method", "unknown-option" or "bad-option". */
export function parseRecipe(recipe: RecipeInput): Step[] {
  const steps = typeof recipe === "string" ? splitText(recipe) : recipe;
  if (!Array.isArray(steps)) throw fail(errors.badRecipe("recipe", "is no list of steps"));
  return steps.map((step: unknown, i) => {
    const where = `recipe step ${i + 1}`;
    const { method: id, ...given } = { ...(step as Record<string, unknown> | null) };
    if (typeof id !== "string") throw fail(errors.badRecipe(where, "has no method"));
    const method = methodOf(id);
    if (!method) {
      throw fail(errors.unknownMethod(where, id, nearest(id, Object.keys(methods))));
    }
    if (method.packs && i < steps.length - 1) {
      throw fail(errors.badRecipe(where, `${id} says how the file is written: it comes last`));
    }
    const options = parseOptions(method.options, given, `${where} (${id})`);
    return { id, method, options };
  });
}

/** Whether the recipe's product is to be a .tersor file. */
export function isPacked(steps: readonly Step[]): boolean {
  return steps.some(({ method }) => method.packs);
}

function splitText(text: string): Record<string, unknown>[] {
  const trimmed = text.trim();
  if (trimmed === "") return [];
  return trimmed.split(">").map((part, i) => {
    const [name, ...rest] = part.trim().split(":");
    if (name === "") throw fail(errors.badRecipe("recipe", `step ${i + 1} is empty`));
    const step: Record<string, unknown> = { method: name.trim() };
    for (const pair of rest
      .join(":")
      .split(",")
      .filter((p) => p.trim() !== "")) {
      const equals = pair.indexOf("=");
      if (equals < 0) throw fail(errors.badRecipe("recipe", `"${pair.trim()}" has no value`));
      step[pair.slice(0, equals).trim()] = pair.slice(equals + 1).trim();
    }
    return step;
  });
}

/** Whether the step trains, and normalization is to stay in the model until it is done. */
export function isTraining(step: Step): boolean {
  return !step.method.simplifyFirst && needsOf(step).includes("training");
}

/** The shortest text that parses to the same steps: options at their defaults are left out. */
export function formatRecipe(steps: readonly Step[]): string {
  return steps
    .map(({ id, method, options }) => {
      const defaults: Record<string, unknown> = method.options.parse({});
      const changed = Object.entries(options)
        .filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(defaults[name]))
        .map(([name, value]) => `${name}=${Array.isArray(value) ? value.join("|") : value}`);
      return changed.length > 0 ? `${id}:${changed.join(",")}` : id;
    })
    .join(" > ");
}
