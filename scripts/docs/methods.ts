/** @file Writes docs/methods.md from the declarations of all methods. */

import { familyOf, type MethodId, methods } from "../../src/methods/index.ts";
import type { Method, Need } from "../../src/methods/method.ts";
import { describeOptions, type OptionInfo, rangeText } from "../../src/options.ts";
import { defaultNeeds, needsByOption } from "../../src/recipe/needs.ts";
import { formatRecipe, parseRecipe, type StepInput } from "../../src/recipe/steps.ts";
import { code, page, table } from "./page.ts";

const needs: Readonly<Record<Need, string>> = {
  calibration: "inputs to calibrate on, without labels",
  training: "records to train on",
  labels: "labels of those",
};

const entries = Object.entries(methods) as unknown as [MethodId, Method][];

export function methodsPage(): string {
  return page(
    "# Methods",
    "Each is a step of a recipe: `tersor compress model.onnx --recipe 'METHOD:option=value,option=value > METHOD'`. In TypeScript: `{ method: \"METHOD\", option: value }`.",
    'In text, a value that holds a comma, `>`, `#` or a quote stands in double quotes, as a JSON string; so does a name of a list that holds `|`, and one that is empty: `only="a,b"|conv*`.',
    table(
      ["method", "what it does", "family", "needs"],
      entries.map(([id, method]) => [
        `[${id}](#${id})`,
        method.summary,
        familyOf(id),
        defaultNeeds(method).join(", ") || "nothing",
      ]),
    ),
    ...entries.flatMap(([id, method]) => section(id, method)),
  );
}

function section(id: MethodId, method: Method): string[] {
  const { title, cite, summary } = method;
  const options = describeOptions(method.options);
  const facts = [
    `- Family: ${familyOf(id)}`,
    `- Source: ${cite}`,
    `- Needs: ${needsText(method)}`,
    ...(method.survey.length > 0 ? [`- In a survey: ${recipesOf(id, method.survey)}`] : []),
    ...(method.neutral ? [`- Leaves the model as it is: ${recipesOf(id, [method.neutral])}`] : []),
  ];
  return [
    `## ${id}`,
    `${title[0].toUpperCase()}${title.slice(1)}. ${summary}`,
    facts.join("\n"),
    options.length === 0
      ? ""
      : table(
          ["option", "values", "default", "meaning"],
          options.map((option) => [
            code(option.name),
            valuesOf(option),
            defaultOf(option),
            option.description,
          ]),
        ),
  ];
}

/**
 * What a method needs, in words: "nothing; with `criterion=activation`: inputs to calibrate on".
 */
function needsText(method: Method): string {
  const always = defaultNeeds(method).map((need) => needs[need]);
  const others = needsByOption(method).map(({ option, values, needs: added }) => {
    const setting = code(values ? `${option}=${values.join("|")}` : option);
    return `with ${values ? "" : "another "}${setting}: ${added.map((need) => needs[need]).join(", ")}`;
  });
  return [always.join(", ") || "nothing", ...others].join("; ");
}

function recipesOf(id: MethodId, settings: Method["survey"]): string {
  return settings
    .map((options) => code(formatRecipe(parseRecipe([{ method: id, ...options } as StepInput]))))
    .join(", ");
}

function valuesOf(info: OptionInfo): string {
  const { type, choices } = info;
  if (choices) return choices.map(code).join(", ");
  if (type === "list") return "names with `*`, separated by `|`";
  if (type === "boolean") return "`true`, `false`";
  const range = rangeText(info);
  return /^-?\d/.test(range) ? range : `${type} ${range}`.trimEnd();
}

function defaultOf({ default: value }: OptionInfo): string {
  if (value === null || (Array.isArray(value) && value.length === 0)) return "none";
  return code(Array.isArray(value) ? value.join("|") : String(value));
}
