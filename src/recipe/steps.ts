/** @file Recipes as text or data: `prune-magnitude:sparsity=0.9 > share-weights:bits=5`. */
import type { z } from "zod";
import { errors, fail } from "../errors.ts";
import { type MethodId, methodOf, methods } from "../methods/index.ts";
import { type Method, needsOf, type OwnMethod } from "../methods/method.ts";
import { defaultsOf, optionText, parseOptions } from "../options.ts";
import { nearest } from "../util/nearest.ts";
import { splitQuoted } from "../util/quoted.ts";

/** A method with all its options, checked. */
export interface Step {
  /** What recipes and reports call the method. */
  readonly id: string;
  readonly method: Method;
  readonly options: Readonly<Record<string, unknown>>;
}

/** What a step may name: a method of tersor's by its id, or one of your own as `defineMethod` gives it. */
export type MethodRef = MethodId | OwnMethod;

type InputOf<S extends z.ZodObject> = keyof S["shape"] extends never ? unknown : z.input<S>;
type OptionsOf<M> = M extends MethodId
  ? InputOf<(typeof methods)[M]["options"]>
  : M extends { readonly options: infer S extends z.ZodObject }
    ? InputOf<S>
    : never;

/** A step as a program or a JSON file writes it: options left out take their defaults. */
export type StepInput<M extends MethodRef = MethodId> = M extends MethodRef
  ? { readonly method: M } & OptionsOf<M>
  : never;

/**
 * A recipe as text, as steps, or as `parseRecipe` gave it. Functions that take one infer `M`, the
 * methods of its steps in order, so that the options of your own methods are checked as well.
 */
export type RecipeInput<M extends readonly MethodRef[] = readonly MethodId[]> =
  | string
  | readonly Step[]
  | { readonly [I in keyof M]: StepInput<M[I]> };

/** Throws TersorError "bad-recipe", "unknown-method", "unknown-option" or "bad-option". */
export function parseRecipe<const M extends readonly MethodRef[] = readonly MethodId[]>(
  recipe: RecipeInput<M>,
): Step[] {
  const isText = typeof recipe === "string";
  const steps: unknown = isText ? splitText(recipe) : recipe;
  if (!Array.isArray(steps)) throw fail(errors.badRecipe("recipe", "is no list of steps"));
  return steps.map((step: unknown, i) => {
    const where = `recipe step ${i + 1}`;
    const { id, method, given } = named(step, where);
    if (method.packs && i < steps.length - 1) {
      throw fail(errors.badRecipe(where, `${id} says how the file is written: it comes last`));
    }
    const options = parseOptions(method.options, given, `${where} (${id})`, isText);
    return { id, method, options };
  });
}

interface Named {
  readonly id: string;
  readonly method: Method;
  /** Options as they were written. */
  readonly given: Readonly<Record<string, unknown>>;
}

function named(step: unknown, where: string): Named {
  const { method, ...given } = { ...(step as Record<string, unknown> | null) };
  if (typeof method === "string") {
    const known = methodOf(method);
    if (known) return { id: method, method: known, given };
    throw fail(errors.unknownMethod(where, method, nearest(method, Object.keys(methods))));
  }
  if (!isMethod(method)) throw fail(errors.badRecipe(where, "has no method"));
  if (isParsed(given)) return { id: given.id, method, given: given.options };
  const { id } = method;
  if (id === undefined || !/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(id)) {
    throw fail(errors.badRecipe(where, "names a method of your own whose id is not in kebab-case"));
  }
  if (methodOf(id)) throw fail(errors.badRecipe(where, `calls a method of your own like ${id}`));
  return { id, method, given };
}

const isMethod = (method: unknown): method is Method =>
  typeof method === "object" && method !== null && "apply" in method && "options" in method;

/** What is left of a Step without its method. */
const isParsed = (rest: object): rest is Omit<Step, "method"> =>
  Object.keys(rest).sort().join() === "id,options";

/** Whether the recipe's product is to be a .tersor file. */
export function isPacked(steps: readonly Step[]): boolean {
  return steps.some(({ method }) => method.packs);
}

/** Options stay as they are written: what a text stands for depends on the option. */
function splitText(text: string): Record<string, unknown>[] {
  if (text.trim() === "") return [];
  return splitQuoted(text, ">").map((part, i) => {
    const [name, ...rest] = part.trim().split(":");
    if (name === "") throw fail(errors.badRecipe("recipe", `step ${i + 1} is empty`));
    const step: Record<string, unknown> = { method: name.trim() };
    for (const pair of splitQuoted(rest.join(":"), ",").filter((p) => p.trim() !== "")) {
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

/**
 * The shortest text that parses to the same steps: options at their defaults are left out. (Methods of
 * your own have a text as well, but only a program can say what it means.)
 */
export function formatRecipe(steps: readonly Step[]): string {
  return steps
    .map(({ id, method, options }) => {
      const defaults = defaultsOf(method.options);
      const changed = Object.entries(options)
        .filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(defaults[name]))
        .map(([name, value]) => `${name}=${optionText(value)}`);
      return changed.length > 0 ? `${id}:${changed.join(",")}` : id;
    })
    .join(" > ");
}
