/** @file The state of a survey on disk: survey.json, by which an interrupted one goes on. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { errors, fail } from "../errors.ts";
import type { Result } from "../measure/measurement.ts";
import { jobConflict, type OpenJob } from "../recipe/job.ts";
import { jsonText } from "../report/json.ts";

const stateFile = "survey.json";

/** Refuses to mix a survey with an earlier one, before any work is done. */
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

/** The trials that need not run again. Throws "bad-survey" where they belong to something else. */
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
  // A row whose model is gone is run again.
  return rows.filter((row) => typeof row?.recipe === "string" && row.file && existsSync(row.file));
}

/** What a later run needs to go on. */
export interface SurveyPlan {
  readonly job: OpenJob;
  /** As texts; null: the usual ones. */
  readonly recipes: readonly string[] | null;
}

/** The JSON that --json prints, with the plan. */
export function stateText(plan: SurveyPlan, survey: object, isComplete: boolean): string {
  return jsonText({ ...survey, complete: isComplete, ...plan });
}

/** A recipe as a file name: letters, digits, dots and dashes. */
export function modelFile(recipe: string): string {
  const plain = recipe.replace(/\s*>\s*/g, "+").replace(/[:,=]/g, "-");
  const name = plain.replace(/[^\w.+-]/g, "_");
  const isExact = name === plain && name.length <= 120;
  return `${isExact ? name : `${name.slice(0, 111)}-${shortHash(recipe)}`}.onnx`;
}

/** FNV-1a: recipes that begin alike, or differ in signs that no file name has, must not share a file. */
function shortHash(text: string): string {
  let hash = 0x811c9dc5;
  for (const char of text) hash = Math.imul(hash ^ char.codePointAt(0)!, 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, "0");
}
