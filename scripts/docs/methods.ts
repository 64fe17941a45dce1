/** @file Writes docs/methods.md from the declarations of all methods. */

import { familyOf, type MethodId, methods } from "../../src/methods/index.ts";
import type { Method } from "../../src/methods/method.ts";
import { describeOptions } from "../../src/options.ts";
import { defaultNeeds, needsByOption } from "../../src/recipe/needs.ts";
import { formatRecipe, parseRecipe, type StepInput, surveySteps } from "../../src/recipe/steps.ts";
import {
  defaultText,
  isMain,
  mainFirst,
  needsText,
  valuesText,
} from "../../src/report/method-text.ts";
import { code, page, table } from "./page.ts";

const entries = Object.entries(methods) as unknown as [MethodId, Method][];

export function methodsPage(): string {
  return page(
    "# Methods",
    "Each is a step of a recipe: `tersor compress model.onnx --recipe 'METHOD:option=value,option=value > METHOD'`. In TypeScript: `{ method: \"METHOD\", option: value }`.",
    'In text, a value that holds a comma, `>`, `#` or a quote stands in double quotes, as a JSON string; so does a name of a list that holds `|`, and one that is empty: `only="a,b"|conv*`.',
    "Options in bold decide most; the others have defaults that are seldom worth changing. `tersor methods NAME` prints one method.",
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
  const trains = defaultNeeds(method).includes("training");
  const facts = [
    `- Family: ${familyOf(id)}`,
    `- Source: ${cite}`,
    `- Needs: ${needsText({ needs: defaultNeeds(method), needsWith: needsByOption(method) }, code)}`,
    ...(method.survey.length > 0
      ? [`- In a survey${trains ? " with `--trains`" : ""}: ${recipesOf(id, method.survey)}`]
      : []),
    ...(method.survey.length > 0 ? [`- In a survey: ${inSurvey(id, method.survey)}`] : []),
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
          mainFirst(options).map((option) => [
            isMain(option) ? `**${code(option.name)}**` : code(option.name),
            valuesText(option, code),
            defaultText(option, code),
            option.description,
          ]),
        ),
  ];
}

const inSurvey = (id: MethodId, settings: Method["survey"]): string =>
  settings.map((options) => code(formatRecipe(surveySteps(id, options)))).join(", ");

function recipesOf(id: MethodId, settings: Method["survey"]): string {
  return settings
    .map((options) => code(formatRecipe(parseRecipe([{ method: id, ...options } as StepInput]))))
    .join(", ");
}
