/** @file The state of a survey in its folder: survey.json, from which it can be resumed. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { errors, fail } from "../errors.ts";
import type { Result } from "../measure/measurement.ts";
import { jobConflict, type OpenJob } from "../recipe/job.ts";
import { jsonText } from "../report/json.ts";

const stateFile = "survey.json";

/**
 * Checks the output folder before any work: it must be possible to create it, and it must not hold
 * an earlier survey unless `mayContinue`. Throws TersorError "cannot-write" or "bad-survey".
 */
export function checkFolder(folder: string, mayContinue: boolean): void {
  const there = statSync(folder, { throwIfNoEntry: false });
  if (there && !there.isDirectory()) {
    throw fail(errors.cannotWrite(folder, "it is a file", "Name a folder with -o"));
  }
  if (!there && !existsSync(dirname(folder))) {
    const remedy = `Create it first: mkdir -p ${dirname(folder)}`;
    throw fail(errors.cannotWrite(folder, "its folder does not exist", remedy));
  }
  if (mayContinue) return;
  for (const name of [stateFile, "report.html", "report.md", "pareto.svg"]) {
    const file = join(folder, name);
    if (!existsSync(file)) continue;
    const remedy = "Go on with --resume, begin anew with --force, or name another folder with -o";
    throw fail(errors.badSurvey(file, "exists already", remedy));
  }
}

/**
 * The rows of an earlier run whose models are still in the folder; they need not be measured again.
 * Throws TersorError "bad-survey" if there is no earlier run, or if its job (model, data, seed,
 * threads ...) is not `job`.
 */
export function earlierRows(folder: string, job: OpenJob): Result[] {
  const file = join(folder, stateFile);
  const anew = "Begin anew with --force, or name another folder with -o";
  if (!existsSync(file)) {
    throw fail(errors.badSurvey(file, "does not exist: there is nothing to resume", anew));
  }
  let state: { job?: unknown; results?: Result[] };
  try {
    state = JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw fail(errors.badSurvey(file, "is not JSON", anew), cause);
  }
  const conflict = jobConflict(state.job, job);
  if (conflict) {
    const why = `was made with another ${conflict.field} (${conflict.found})`;
    throw fail(errors.badSurvey(file, why, anew));
  }
  const rows = Array.isArray(state.results) ? state.results.slice(1) : [];
  // The first row is the original, which is measured again. So is a row whose file is gone.
  return rows.filter((row) => typeof row?.recipe === "string" && row.file && existsSync(row.file));
}

/** The inputs of a survey, which survey.json holds beside the results. */
export interface SurveyPlan {
  readonly job: OpenJob;
  /** The recipes as text; null for the default ones. */
  readonly recipes: readonly string[] | null;
}

/** The text of survey.json: what --json prints, `complete`, and the plan. */
export function stateText(plan: SurveyPlan, survey: object, isComplete: boolean): string {
  return jsonText({ ...survey, complete: isComplete, ...plan });
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
function shortHash(text: string): string {
  let hash = 0x811c9dc5;
  for (const char of text) hash = Math.imul(hash ^ char.codePointAt(0)!, 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, "0");
}
