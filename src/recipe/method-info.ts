/** @file The built-in methods as data: titles, sources, needs, options, for lists and forms. */
import { familyOf, methods } from "../methods/index.ts";
import type { Method, Need } from "../methods/method.ts";
import { describeOptions, type OptionInfo } from "../options.ts";
import { defaultNeeds, type NeedsWith, needsByOption } from "./needs.ts";
import { formatRecipe, surveySteps } from "./steps.ts";

/** A method as `tersor methods` lists it. */
export interface MethodInfo {
  readonly method: string;
  readonly title: string;
  readonly family: string;
  readonly summary: string;
  readonly cite: string;
  /** What it needs with its default options. */
  readonly needs: readonly Need[];
  /** The options with which it needs more. */
  readonly needsWith: readonly NeedsWith[];
  readonly options: readonly OptionInfo[];
  /** The recipes that a survey tries it with. */
  readonly survey: readonly string[];
}

/** All built-in methods, family by family. */
export function methodInfos(): MethodInfo[] {
  return (Object.entries(methods) as unknown as [string, Method][]).map(([method, entry]) => ({
    method,
    title: entry.title,
    family: familyOf(method),
    summary: entry.summary,
    cite: entry.cite,
    needs: defaultNeeds(entry),
    needsWith: needsByOption(entry),
    options: describeOptions(entry.options),
    survey: entry.survey.map((given) => formatRecipe(surveySteps(method, given))),
  }));
}
