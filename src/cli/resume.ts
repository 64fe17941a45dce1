/** @file Going on with an interrupted run: what it was asked for, and whether that still holds. */
import { existsSync, readFileSync } from "node:fs";
import { type ErrorInfo, errors, fail } from "../errors.ts";
import { type JobConflict, jobConflict, type OpenJob } from "../recipe/job.ts";
import { kebab } from "./flags.ts";

/** The values of flags, by their names in camelCase. */
export type FlagValues = Readonly<Record<string, unknown>>;

/** An interrupted run, as a file beside its output holds it. */
export interface StoredRun {
  /** The path of that file. */
  readonly file: string;
  /** The flags of the first run. */
  readonly flags: FlagValues;
  /** All that is in the file. Users may have changed it, so nothing is sure about its shape. */
  readonly content: Readonly<Record<string, unknown>>;
}

const anew = "egin anew without --resume (with --force, or another -o)";

/**
 * Reads an interrupted run. Throws TersorError "bad-resume" if there is none, or if the file is not
 * what a run has written.
 */
export function readRun(file: string): StoredRun {
  if (!existsSync(file)) {
    const why = "does not exist: there is nothing to resume";
    const remedy = "Leave out --resume, or name with -o what was begun";
    throw fail(errors.badResume(file, why, remedy));
  }
  try {
    const content = JSON.parse(readFileSync(file, "utf8"));
    return { file, flags: { ...content.flags }, content };
  } catch (cause) {
    throw fail(errors.badResume(file, "is not what a run has written", `B${anew}`), cause);
  }
}

/** A note where relative paths among the flags of a run are not what they were; else null. */
export function elsewhereNote({ file, content }: StoredRun): string | null {
  const { cwd } = content;
  if (typeof cwd !== "string" || cwd === process.cwd()) return null;
  return `the run in ${file} was begun in ${cwd}: relative paths in its flags are from there`;
}

/** Flags that are about one call of the command, not about the run. */
const passing = ["output", "resume", "force", "json", "quiet", "color", "queue", "store"];

/** What to store with a run, so that it can go on with nothing but --resume. */
export interface CallOfRun {
  readonly flags: FlagValues;
  /** The folder that it was begun in. */
  readonly cwd: string;
}

export function callOfRun(values: FlagValues): CallOfRun {
  const kept = Object.entries(values).filter(([name]) => !passing.includes(name));
  return { flags: Object.fromEntries(kept), cwd: process.cwd() };
}

/** What decides a run. A survey has a list of recipes, null for the default ones. */
export type WholeJob = OpenJob & { readonly recipes?: readonly string[] | null };

/**
 * Throws TersorError "bad-resume" if the job that follows from `flags` (the first run's and those
 * given now) and from the files as they are now is not the one that was begun. The message names
 * the flag. `model` is the model as the user typed it; `names` says which flag decides a field of
 * the job, where the two have other names.
 */
export function checkSameJob(
  run: StoredRun,
  job: WholeJob,
  flags: FlagValues,
  model: string,
  names: Readonly<Record<string, string>> = {},
): void {
  const { job: begun, recipes } = run.content;
  const conflict = jobConflict({ recipes, ...(begun as object) }, job);
  if (conflict) throw fail(refusal(conflict, run, flags, model, names));
}

function refusal(
  { field, found, given }: JobConflict,
  { file, flags: before }: StoredRun,
  flags: FlagValues,
  model: string,
  names: Readonly<Record<string, string>>,
): ErrorInfo {
  const begun = `the run in ${file} was begun`;
  const info = (where: string, why: string, remedy: string) =>
    errors.badResume(where, why, `${remedy}, or b${anew}`);
  if (field === "model") {
    return info(model, `is not the model that ${begun} with`, "Give that one");
  }
  const isOther = (name: string): boolean => textOf(flags[name]) !== textOf(before[name]);
  const other = (name: string, was: string, is: string): ErrorInfo => {
    const flag = `--${is === "false" || was === "false" ? "no-" : ""}${kebab(name)}`;
    return info(flag, `${begun} with ${was}, now it is ${is}`, `Leave ${flag} out`);
  };
  const own = flagOf(field, names);
  const isHash = field === "teacher" || field.endsWith(" content");
  if (isOther(own) && !isHash) return other(own, found, given);
  if (isOther(own)) return other(own, textOf(before[own]), textOf(flags[own]));
  if (typeof flags[own] === "string") {
    return info(`--${kebab(own)} ${flags[own]}`, `has changed since ${begun}`, "Restore it");
  }
  const changed = Object.keys(flags).find((name) => !idle.includes(name) && isOther(name));
  if (changed) return other(changed, textOf(before[changed]), textOf(flags[changed]));
  return info(file, `the run was begun with ${field} ${found}, now it is ${given}`, "Restore that");
}

/** Flags of a run that decide nothing of its results. */
const idle = [...passing, "budget", "report", "record", "target", "goal", "jobs"];

/** The name of the flag that decides a field of the job: "data limit" -> "limit". */
function flagOf(field: string, names: Readonly<Record<string, string>>): string {
  const [first, second] = field.split(" ");
  const isSource = first === "data" || first === "calib";
  if (isSource && second !== undefined && second !== "content") return second;
  return { timingSeconds: "timing", training: "threads", ...names }[first] ?? first;
}

const textOf = (value: unknown): string =>
  value === undefined ? "none" : typeof value === "string" ? value : JSON.stringify(value);
