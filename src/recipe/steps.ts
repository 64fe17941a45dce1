/** @file Parses recipes, given as text or data, such as `prune-channels > share-weights:bits=4`. */
import { z } from "zod";
import { errors, fail } from "../errors.ts";
import { type MethodId, methodOf, methods } from "../methods/index.ts";
import { allNeeds, type Method, needsOf, type OwnMethod } from "../methods/method.ts";
import { defaultsOf, optionText, parseOptions } from "../options.ts";
import { nearest } from "../util/nearest.ts";
import { splitQuoted } from "../util/quoted.ts";

/** One step of a recipe: a method with checked options, defaults filled in. */
export interface Step {
  /** The method's name in recipes and reports. */
  readonly id: string;
  readonly method: Method;
  readonly options: Readonly<Record<string, unknown>>;
}

/**
 * How a step names its method: the id of a built-in one, or the object that `defineMethod`
 * returned.
 */
export type MethodRef = MethodId | typeof simplifyId | OwnMethod;

/**
 * The name of lossless simplification, with which every recipe begins. It may stand in a recipe as
 * a step, alone above all, but is none: `parseRecipe` leaves it out.
 */
export const simplifyId = "simplify";

type InputOf<S extends z.ZodObject> = keyof S["shape"] extends never ? unknown : z.input<S>;
type OptionsOf<M> = M extends typeof simplifyId
  ? unknown
  : M extends MethodId
    ? InputOf<(typeof methods)[M]["options"]>
    : M extends { readonly options: infer S extends z.ZodObject }
      ? InputOf<S>
      : never;

/** A step as a program or a JSON file writes it; options that are left out have their defaults. */
export type StepInput<M extends MethodRef = MethodId> = M extends MethodRef
  ? { readonly method: M } & OptionsOf<M>
  : never;

/**
 * A recipe as text, as a list of step inputs, or as the steps that `parseRecipe` returned. `M` is
 * the list of the steps' methods. Functions that take a recipe infer it, so that the compiler
 * checks the options of a user's own methods as well.
 */
export type RecipeInput<M extends readonly MethodRef[] = readonly MethodId[]> =
  | string
  | readonly Step[]
  | { readonly [I in keyof M]: StepInput<M[I]> };

/**
 * Parses a recipe and checks all options. Text separates steps by ">", options by ",", an option's
 * name and value by "=": `a:x=1,y=2 > b`. Values in double quotes may contain these characters.
 * A recipe that only simplifies losslessly, "simplify", has no steps.
 * Throws TersorError "bad-recipe", "unknown-method", "unknown-option" or "bad-option".
 */
export function parseRecipe<const M extends readonly MethodRef[] = readonly MethodId[]>(
  recipe: RecipeInput<M>,
): Step[] {
  const isText = typeof recipe === "string";
  const steps: unknown = isText ? splitText(recipe) : recipe;
  if (!Array.isArray(steps)) throw fail(errors.badRecipe("recipe", "is no list of steps"));
  const last = steps.findLastIndex((step) => !isSimplify(step));
  return steps.flatMap((step: unknown, i): Step[] => {
    const where = `recipe step ${i + 1}`;
    if (isSimplify(step)) {
      const { method: _, ...given } = step;
      parseOptions(z.strictObject({}), given, `${where} (${simplifyId})`);
      return [];
    }
    const { id, method, given } = named(step, where);
    if (method.packs && i < last) {
      throw fail(errors.badRecipe(where, `${id} says how the file is written: it comes last`));
    }
    const options = parseOptions(method.options, given, `${where} (${id})`, isText);
    return [{ id, method, options }];
  });
}

const isSimplify = (step: unknown): step is Record<string, unknown> =>
  (step as { method?: unknown } | null)?.method === simplifyId;

interface Named {
  readonly id: string;
  readonly method: Method;
  /** The options as the user wrote them, not checked yet. */
  readonly given: Readonly<Record<string, unknown>>;
}

/** Finds the method of a step input. Throws TersorError "bad-recipe" or "unknown-method". */
function named(step: unknown, where: string): Named {
  const { method, ...given } = { ...(step as Record<string, unknown> | null) };
  if (typeof method === "string") {
    const known = methodOf(method);
    if (known) return { id: method, method: known, given };
    const near = nearest(method, [simplifyId, ...Object.keys(methods)]);
    throw fail(errors.unknownMethod(where, method, near));
  }
  if (!isMethod(method)) throw fail(errors.badRecipe(where, "has no method"));
  if (isParsed(given)) return { id: given.id, method, given: given.options };
  const { id } = method;
  if (id === undefined || !/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(id)) {
    throw fail(errors.badRecipe(where, "names a method of your own whose id is not in kebab-case"));
  }
  if (methodOf(id)) throw fail(errors.badRecipe(where, `calls a method of your own like ${id}`));
  const missing = missingIn(method);
  if (missing) throw fail(errors.badRecipe(where, `names ${id}, a method without ${missing}`));
  return { id, method, given };
}

const isMethod = (method: unknown): method is Method =>
  typeof method === "object" && method !== null && "apply" in method && "options" in method;

/** What a method of the user's own lacks, where no compiler has checked it; null if nothing. */
function missingIn({ options, apply, needs }: Method): string | null {
  if (typeof options?.safeParse !== "function") return "options, a schema made with z.object";
  if (typeof apply !== "function") return "apply, a function";
  const isList = Array.isArray(needs) && needs.every((need) => allNeeds.includes(need));
  return isList || typeof needs === "function"
    ? null
    : `needs, a list of some of ${allNeeds.join(", ")}`;
}

/** Whether these are the other fields of a parsed Step, rather than options of a step input. */
const isParsed = (rest: object): rest is Omit<Step, "method"> =>
  Object.keys(rest).sort().join() === "id,options" &&
  typeof Reflect.get(rest, "options") === "object";

/** Whether the recipe ends in `pack`, so that its product is a .tersor file. */
export function isPacked(steps: readonly Step[]): boolean {
  return steps.some(({ method }) => method.packs);
}

/**
 * A recipe's text to step inputs. The values of options stay text, because their type is only known
 * from the method's schema. Throws TersorError "bad-recipe".
 */
function splitText(text: string): Record<string, unknown>[] {
  if (text.trim() === "") return [];
  return splitQuoted(text, ">").map((part, i) => {
    const [name, ...rest] = part.trim().split(":");
    if (name === "") throw fail(errors.badRecipe("recipe", `step ${i + 1} is empty`));
    // Without a prototype, so that no name of an option means anything else.
    const step: Record<string, unknown> = Object.create(null);
    step.method = name.trim();
    for (const pair of splitQuoted(rest.join(":"), ",").filter((p) => p.trim() !== "")) {
      const equals = pair.indexOf("=");
      if (equals < 0) throw fail(errors.badRecipe("recipe", `"${pair.trim()}" has no value`));
      const option = pair.slice(0, equals).trim();
      if (Object.hasOwn(step, option)) {
        throw fail(errors.badRecipe("recipe", `${step.method} has "${option}" twice`));
      }
      step[option] = pair.slice(equals + 1).trim();
    }
    return step;
  });
}

/** Whether the step computes gradients, on a model in which BatchNormalization was kept. */
export function isTraining(step: Step): boolean {
  return !step.method.simplifyFirst && needsOf(step).includes("training");
}

/** Whether BatchNormalization has to stay in the model until the step has run. */
export function keepsNorms(step: Step): boolean {
  const { readsNorms = false } = step.method;
  return (
    isTraining(step) || (typeof readsNorms === "function" ? readsNorms(step.options) : readsNorms)
  );
}

/**
 * The steps by which a survey tries a setting of a method: with the step that it prepares, or with the
 * training of which it is the start.
 */
export function surveySteps(method: string, options: Readonly<Record<string, unknown>>): Step[] {
  const { prepares, isStart } = methodOf(method) ?? {};
  const trained = isStart ? [{ method: "train", loss: "distil" }] : [];
  const next = prepares ? [{ method: prepares }] : trained;
  return parseRecipe([{ method, ...options }, ...next] as never);
}

/**
 * The recipe as text that parses to the same steps. Options at their defaults are left out. A step
 * with a user's own method also has a text, for reports, but `parseRecipe` does not know its id.
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
