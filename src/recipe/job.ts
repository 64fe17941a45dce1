/** @file Job: a trial as a value, all that decides its result; its hash is the key to cache or resume it by. */
import type { DataOptions } from "../data/options.ts";
import type { Platform } from "../platform.ts";
import type { ComputeChoice } from "../train/state.ts";
import { sha256Text } from "../util/sha256.ts";
import { version } from "../version.ts";
import type { Loaded } from "./load.ts";
import { needsTraining } from "./needs.ts";
import { type DataSource, type Settings, sourceOf, withDefaults } from "./prepare.ts";
import { formatRecipe, type Step } from "./steps.ts";

/** Data by name, and how records are made of it. (Its content is not looked at: no path is a hash.) */
export interface JobData {
  readonly spec: string;
  readonly options: DataOptions;
}

/**
 * What the trials of one survey have in common: a job whose recipe is open. Plain data, as are all of
 * its fields; sessions, files and closures are the Environment's.
 */
export interface OpenJob {
  /** SHA-256 of the model's file. */
  readonly model: string;
  readonly data: JobData | null;
  readonly calib: JobData | null;
  /** SHA-256 of the teacher's file. */
  readonly teacher: string | null;
  readonly seed: number;
  /** Sizes of axes that the model leaves open. */
  readonly dims: Readonly<Record<string, number>>;
  /** The engine that runs, measures, and is what the result should run well on. */
  readonly runtime: string;
  readonly threads: number;
  readonly simplify: boolean;
  /**
   * Null where no recipe trains, else records are set aside for it. The threads decide how sums are
   * rounded; `computeChoice` null: so does the clock, and the last bits are open.
   */
  readonly training: {
    readonly threads: number;
    readonly computeChoice: ComputeChoice | null;
  } | null;
  readonly versions: { readonly tersor: string; readonly engine: string };
}

export interface Job extends OpenJob {
  /** As text. Methods from outside the package are named by their ids alone. */
  readonly recipe: string;
}

/** `recipes` are all that share the records. */
export async function openJobOf(
  loaded: Pick<Loaded, "hash">,
  platform: Pick<Platform, "runtime" | "cores">,
  settings: Settings,
  recipes: readonly (readonly Step[])[],
  simplify = true,
): Promise<OpenJob> {
  const { seed, threads, trainThreads, computeChoice, dims } = withDefaults(settings, platform);
  const { runtime } = await platform.runtime(settings.runtime ?? "auto");
  const trains = recipes.some(needsTraining);
  return {
    model: loaded.hash,
    data: dataOf(settings.data),
    calib: dataOf(settings.calib),
    teacher: settings.teacher?.hash ?? null,
    seed,
    dims,
    runtime: runtime.name,
    threads,
    simplify,
    training: trains ? { threads: trainThreads, computeChoice } : null,
    versions: { tersor: version, engine: `onnxruntime-${runtime.name} ${runtime.version}` },
  };
}

export const jobOf = (open: OpenJob, steps: readonly Step[]): Job => ({
  ...open,
  recipe: formatRecipe(steps),
});

function dataOf(source: DataSource | string | null | undefined): JobData | null {
  return source ? sourceOf(source) : null;
}

/** SHA-256 of the job's canonical JSON: equal for equal jobs, on every platform. */
export const jobHash = (job: Job): Promise<string> => sha256Text(canonical(job));

/** Keys in order, and none that is undefined. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

/** A field in which two jobs differ, and what it is in the first. */
export interface JobConflict {
  readonly field: string;
  readonly found: string;
}

/** The first field in which `stored`, read from a file, is not `job`; null where there is none. */
export function jobConflict(stored: unknown, job: OpenJob): JobConflict | null {
  const [before, now] = [new Map(fieldsOf(stored)), new Map(fieldsOf(job))];
  for (const field of new Set([...now.keys(), ...before.keys()])) {
    const found = before.get(field) ?? null;
    if (canonical(found) === canonical(now.get(field) ?? null)) continue;
    const text = typeof found === "string" ? found : canonical(found);
    return { field, found: found === null ? "none" : text };
  }
  return null;
}

/** "seed", "data" (its name), "data limit", "training threads": each with its value. */
function fieldsOf(job: unknown): [string, unknown][] {
  if (typeof job !== "object" || job === null) return [];
  return Object.entries(job).flatMap(([name, value]): [string, unknown][] => {
    if (typeof value !== "object" || value === null) return [[name, value]];
    const { spec, options, ...others } = value as Partial<JobData> & Record<string, unknown>;
    const inner = Object.entries({ ...options, ...others });
    const own: [string, unknown][] = spec === undefined ? [] : [[name, spec]];
    return [...own, ...inner.map(([key, part]): [string, unknown] => [`${name} ${key}`, part])];
  });
}
