/** @file Job: everything that decides the result of a trial, as plain data with a hash. */
import { contentOf } from "../data/content.ts";
import type { Inputs } from "../data/feed.ts";
import type { DataOptions } from "../data/options.ts";
import type { Platform } from "../platform.ts";
import type { ComputeChoice } from "../train/state.ts";
import { sha256Text } from "../util/sha256.ts";
import { version } from "../version.ts";
import { engineOf } from "./engine.ts";
import type { Loaded } from "./load.ts";
import { needsTraining } from "./needs.ts";
import { type DataSource, isMetricFile, type Settings, sourceOf, withDefaults } from "./prepare.ts";
import { formatRecipe, type Step } from "./steps.ts";

/** A data source: its name, the options with which it was read, and what was in its files. */
export interface JobData {
  readonly spec: string;
  readonly options: DataOptions;
  /** `contentOf` the source; null where it has no files, so that only its name is known. */
  readonly content: string | null;
}

/**
 * What all trials of one survey have in common: a job without its recipe. It is plain data, which
 * JSON can hold; sessions, open files and functions belong to the Environment.
 */
export interface OpenJob {
  /** SHA-256 of the model's file. */
  readonly model: string;
  readonly data: JobData | null;
  readonly calib: JobData | null;
  /**
   * The metric that the user named, as text; of a module also what is in it, of an object its name.
   * Null: what the labels and outputs make clear.
   */
  readonly metric: string | null;
  /** SHA-256 of the teacher's file. */
  readonly teacher: string | null;
  readonly seed: number;
  /** Sizes given for axes that the model leaves open. */
  readonly dims: Readonly<Record<string, number>>;
  /** How inputs are fed that no record fills; missing where nothing is said. */
  readonly input?: Inputs;
  /** The engine that runs and times the models, and that methods optimize for. */
  readonly runtime: string;
  /** The target that the user named; missing where it is this machine. */
  readonly on?: string;
  readonly threads: number;
  /** Seconds spent on timing each version beside the original. */
  readonly timingSeconds: number;
  readonly simplify: boolean;
  /**
   * Null if no recipe of the survey trains. If one does, records are set aside for training, which
   * changes the calibration and the judged records of all rows. The number of threads is included
   * because it decides in which order gradients are summed. `computeChoice` null: a self-test
   * chooses the form of computing by time, so two runs may differ in the last bits.
   */
  readonly training: {
    readonly threads: number;
    readonly computeChoice: ComputeChoice | null;
  } | null;
  readonly versions: { readonly tersor: string; readonly engine: string };
}

/** One trial. Cached and resumed results are stored under `jobHash` of it. */
export interface Job extends OpenJob {
  /** The recipe as text. Of a method from outside the package only the id is in it. */
  readonly recipe: string;
}

/**
 * The open job for trials of `loaded` under `settings`. `recipes` are all recipes that share its
 * records: whether one of them trains decides how the records are divided.
 */
export async function openJobOf(
  loaded: Pick<Loaded, "hash">,
  platform: Platform,
  settings: Settings,
  recipes: readonly (readonly Step[])[],
  simplify = true,
): Promise<OpenJob> {
  const { seed, threads, trainThreads, computeChoice, dims, timingSeconds } = withDefaults(
    settings,
    platform,
  );
  const { runtime } = await engineOf(settings, platform);
  const trains = recipes.some(needsTraining);
  return {
    model: loaded.hash,
    data: await dataOf(settings.data, platform),
    calib: await dataOf(settings.calib, platform),
    metric: await metricText(settings.metric, platform),
    teacher: settings.teacher?.hash ?? null,
    seed,
    dims,
    ...(settings.input !== undefined && { input: settings.input }),
    runtime: runtime.name,
    ...(settings.on !== undefined && { on: settings.on }),
    threads,
    timingSeconds,
    simplify,
    training: trains ? { threads: trainThreads, computeChoice } : null,
    versions: { tersor: version, engine: `onnxruntime-${runtime.name} ${runtime.version}` },
  };
}

/** The job of one trial: `open` with the recipe filled in. */
export const jobOf = (open: OpenJob, steps: readonly Step[]): Job => ({
  ...open,
  recipe: formatRecipe(steps),
});

async function metricText(metric: Settings["metric"], { files }: Platform): Promise<string | null> {
  if (!metric) return null;
  if (typeof metric === "function") return metric().name;
  if (typeof metric !== "string") return metric.name;
  if (!isMetricFile(metric)) return metric;
  return `${metric} ${await sha256Text(new TextDecoder().decode(await files.read(metric)))}`;
}

async function dataOf(
  source: DataSource | string | null | undefined,
  platform: Platform,
): Promise<JobData | null> {
  if (!source) return null;
  const { spec, options } = sourceOf(source);
  return { spec, options, content: await contentOf(spec, platform) };
}

/** SHA-256 of the job's canonical JSON: equal for equal jobs, on every platform. */
export const jobHash = (job: OpenJob): Promise<string> => sha256Text(canonical(job));

/** JSON with the keys of each object sorted and without undefined values. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

/** A field in which a stored job differs from the present one. */
export interface JobConflict {
  /** For example "seed" or "data limit"; see `fieldsOf`. */
  readonly field: string;
  /** The stored value as text; "none" where it is missing or null. */
  readonly found: string;
  /** The present value as text. */
  readonly given: string;
}

/**
 * The first field in which `stored` (parsed JSON of any shape) differs from `job`; null if equal.
 * Data of the same content are the same, whatever their name.
 */
export function jobConflict(stored: unknown, job: OpenJob): JobConflict | null {
  const [before, now] = [new Map(fieldsOf(stored)), new Map(fieldsOf(job))];
  const hasSameContent = (source: string): boolean => {
    const content = before.get(`${source} content`) ?? null;
    return content !== null && content === now.get(`${source} content`);
  };
  const text = (value: unknown): string =>
    value === null ? "none" : typeof value === "string" ? value : canonical(value);
  for (const field of new Set([...now.keys(), ...before.keys()])) {
    const [found, given] = [before.get(field) ?? null, now.get(field) ?? null];
    if (canonical(found) === canonical(given) || hasSameContent(field)) continue;
    return { field, found: text(found), given: text(given) };
  }
  return null;
}

/**
 * All fields of a job as [name, value]. Nested objects are flattened, with the outer name in front:
 * "seed", "data" (the name of the source), "data limit" (one of its options), "training threads".
 */
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
