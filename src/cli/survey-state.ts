/** @file The state of a survey in its folder: survey.json, from which it can be resumed. */
import { existsSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { errors, fail } from "../errors.ts";
import type { Result } from "../measure/measurement.ts";
import type { OpenJob } from "../recipe/job.ts";
import type { LayerErrors } from "../recipe/layer-errors.ts";
import { jsonText, surveyJson } from "../report/json.ts";
import type { Report } from "../report/report.ts";
import { numbersNotFinite, restore } from "../util/not-finite.ts";
import { modelName } from "./paths.ts";
import type { CallOfRun, StoredRun } from "./resume.ts";

const stateFile = "survey.json";

/** The folder of a survey: the one that is named, else one beside the model. */
export function surveyFolder(model: string, output: string | undefined, kind = "survey"): string {
  const name = modelName(model);
  return output ?? join(dirname(name), `${basename(name, ".onnx")}.${kind}`);
}

/** The file in that folder that holds the survey's state. */
export const surveyFile = (folder: string): string => join(folder, stateFile);

/**
 * Checks the output folder before any work: it must be possible to create it, and it must not hold
 * an earlier survey (one of the files `own`) unless `mayContinue`. Throws TersorError "cannot-write" or "bad-survey".
 */
export function checkFolder(
  folder: string,
  mayContinue: boolean,
  own: readonly string[] = [stateFile, "report.html", "report.md", "pareto.svg"],
): void {
  const there = statSync(folder, { throwIfNoEntry: false });
  if (there && !there.isDirectory()) {
    throw fail(errors.cannotWrite(folder, "it is a file", "Name a folder with -o"));
  }
  if (!there && !existsSync(dirname(folder))) {
    const remedy = `Create it first: mkdir -p ${dirname(folder)}`;
    throw fail(errors.cannotWrite(folder, "its folder does not exist", remedy));
  }
  if (mayContinue) return;
  for (const name of own) {
    const file = join(folder, name);
    if (!existsSync(file)) continue;
    const remedy = "Go on with --resume, begin anew with --force, or name another folder with -o";
    throw fail(errors.badSurvey(file, "exists already", remedy));
  }
}

/** Rows that need not be measured again, with the errors of their layers. */
export interface Done {
  readonly done: readonly Result[];
  readonly doneErrors: readonly LayerErrors[];
  /** Trials that were begun and never ended, see `Measured`. */
  readonly began: Began;
}

/** How often a recipe was begun by processes that did not live to its end, by its name. */
export type Began = Readonly<Record<string, number>>;

/** A recipe whose trial ended the process this often is not tried again. */
export const DEATHS = 2;

/** The recipes that end the process. */
export const deadlyOf = (began: Began): string[] =>
  Object.keys(began).filter((recipe) => began[recipe] >= DEATHS);

/**
 * The rows of an earlier run whose models are in the folder as they were measured. They name the
 * files by the folder as it is named now.
 */
export function earlierRows(folder: string, { content }: StoredRun): Done {
  const { results = [], layerErrors = [], notFinite = {} } = content as Partial<Saved>;
  const saved = { results, layerErrors };
  restore(saved, notFinite);
  // The first row is the original, which is measured again.
  const done = results.slice(1).flatMap((row): Result[] => {
    if (typeof row?.recipe !== "string") return [];
    const file = join(folder, modelFile(row.recipe));
    const size = statSync(file, { throwIfNoEntry: false })?.size;
    return size === row.bytes?.raw ? [{ ...row, file }] : [];
  });
  const ended = new Set(done.map(({ recipe }) => recipe));
  const counts = Object.entries({ ...(content.began as Began | undefined) });
  const open = counts.filter(([recipe, times]) => !ended.has(recipe) && typeof times === "number");
  return { done, doneErrors: layerErrors, began: Object.fromEntries(open) };
}

/** What survey.json holds beside what `tersor survey --json` prints. */
interface Saved {
  readonly results: readonly Result[];
  readonly layerErrors: readonly LayerErrors[];
  /** Numbers that JSON has no word for, by their path: { "results.1.metric.sqnr": "Infinity" }. */
  readonly notFinite: Readonly<Record<string, string>>;
}

/** The inputs of a survey, which survey.json holds as well. */
export interface SurveyPlan extends CallOfRun {
  readonly job: OpenJob;
  /** The recipes as text; null for the default ones. */
  readonly recipes: readonly string[] | null;
}

/** What a survey has measured so far. */
export interface Measured {
  /** Null before the original was measured. */
  readonly report: Report | null;
  /** The errors of the layers in all rows; those in the report are of the Pareto front only. */
  readonly layerErrors: readonly LayerErrors[];
  /** The trials that have not ended, each counted when it was begun. */
  readonly began: Began;
}

/** The text of survey.json. */
export function stateText(
  plan: SurveyPlan,
  { report, layerErrors, began }: Measured,
  isComplete: boolean,
): string {
  const shown = report ? surveyJson(report) : { command: "survey", results: [], pareto: [] };
  const all = { results: report?.results ?? [], layerErrors };
  const notFinite = numbersNotFinite(all);
  return jsonText({ ...shown, complete: isComplete, ...plan, began, layerErrors, notFinite });
}

/**
 * The file name for a recipe's model. Characters other than letters, digits, "_", ".", "+" and "-"
 * are replaced; if something was lost by that or by shortening, a hash of the recipe is added.
 */
export function modelFile(recipe: string): string {
  const plain = recipe.replace(/\s*>\s*/g, "+").replace(/[:,=]/g, "-");
  const name = plain.replace(/[^\w.+-]/g, "_");
  const isExact = name === plain && name.length <= 120;
  return `${isExact ? name : `${name.slice(0, 111)}-${shortHash(recipe)}`}.onnx`;
}

/** A hash of the text (FNV-1a, 32 bits, hex), so that two recipes do not share a file name. */
export function shortHash(text: string): string {
  let hash = 0x811c9dc5;
  for (const char of text) hash = Math.imul(hash ^ char.codePointAt(0)!, 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, "0");
}
