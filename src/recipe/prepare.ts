/** @file What a user says about the surroundings of a trial, made into an Environment. */
import { type Dataset, subset } from "../data/dataset.ts";
import { openData } from "../data/open.ts";
import { type DataOptions, parsePreprocess, preprocessKey } from "../data/options.ts";
import { splitDataset } from "../data/split.ts";
import { errors, fail } from "../errors.ts";
import type { Model } from "../ir/model.ts";
import type { Checkpoints, Platform } from "../platform.ts";
import type { Port, Session } from "../runtime/runtime.ts";
import { type ComputeChoice, plainChoice } from "../train/state.ts";
import { nearest } from "../util/nearest.ts";
import type { Environment, Event } from "./environment.ts";
import type { Loaded } from "./load.ts";
import { type Dims, sampleFeeds } from "./sample.ts";

/** `mnist:test`, `images:folder` ..., with the options that make records of it. */
export interface DataSource {
  readonly spec: string;
  readonly options: DataOptions;
}

export interface Settings {
  /** Records to measure on. */
  readonly data?: DataSource | string | null | undefined;
  /** Records that methods may look at; without them a part of `data` that is not measured on. */
  readonly calib?: DataSource | string | null | undefined;
  /** Measure on all of `data`: nothing will be calibrated. */
  readonly keepAll?: boolean | undefined;
  /** Engine (default "auto": the native one where it is installed). */
  readonly runtime?: "auto" | "node" | "web" | undefined;
  /** Engine threads (default 1). */
  readonly threads?: number | undefined;
  /** Something will be trained: set records aside for that. */
  readonly trains?: boolean | undefined;
  /** A model to learn from. */
  readonly teacher?: Loaded | null | undefined;
  /** Choose no form of computing by the clock (default false). */
  readonly deterministic?: boolean | undefined;
  /** How an earlier run computed, to repeat it to the byte. */
  readonly computeChoice?: ComputeChoice | null | undefined;
  readonly checkpoints?: Checkpoints | null | undefined;
  readonly seed?: number | undefined;
  /** Sizes of the axes that the model leaves open, where there are no data to tell. */
  readonly dims?: Dims | undefined;
  /** Time spent on timing each version beside the original (default 2 s). */
  readonly timingSeconds?: number | undefined;
  readonly signal?: AbortSignal | null | undefined;
  readonly onEvent?: ((event: Event) => void) | undefined;
}

/** A source as it was named, with no options where there are none. */
export const sourceOf = (source: DataSource | string): DataSource =>
  typeof source === "string" ? { spec: source, options: {} } : source;

/** What decides results, where settings leave it open. */
export function withDefaults(settings: Settings, { cores }: Pick<Platform, "cores">) {
  const { seed = 1, threads = 1, dims = {}, deterministic = false } = settings;
  const computeChoice = settings.computeChoice ?? (deterministic ? plainChoice : null);
  return { seed, threads, dims, trainThreads: settings.threads ?? cores, computeChoice };
}

/** Records that calibrate: more change nothing that can be measured, and take time. */
const enough = 512;
const share = 0.2;

/** Rejects with whatever the engine says of the model, or the readers of the data. */
export async function prepare(
  loaded: Loaded,
  platform: Platform,
  settings: Settings = {},
): Promise<Environment> {
  const { seed, threads, dims, trainThreads, computeChoice } = withDefaults(settings, platform);
  const { signal = null, onEvent = () => {} } = settings;
  const teacher = teacherOf(settings.teacher);
  const { runtime, warning } = await platform.runtime(settings.runtime ?? "auto");
  if (warning) onEvent({ type: "warning", text: warning });
  const session = await runtime.open(loaded.source, { threads });
  try {
    checkDims(session.inputs, dims);
    const record = loaded.model.metadata.get(preprocessKey);
    const preprocess = record === undefined ? {} : parsePreprocess(record, loaded.name);
    const open = (source: DataSource | string): Promise<Dataset> => {
      const { spec, options } = sourceOf(source);
      return openData(spec, session.inputs, options, platform, preprocess);
    };
    const all = settings.data ? await open(settings.data) : null;
    const given = settings.calib ? await open(settings.calib) : null;
    const { data, training, calibration } =
      given || settings.keepAll
        ? { data: all, training: given, calibration: given && part(given, seed) }
        : settings.trains
          ? halved(all, seed)
          : { ...divided(all, seed, onEvent), training: null };
    const feeds = await sampleFeeds(session, { data: all ?? given, seed, dims });
    if (!all && !given) tellSizes(session, feeds, onEvent);
    const timingMs = (settings.timingSeconds ?? 2) * 1000;
    const around = { platform, runtime, threads, seed, signal, onEvent, timingMs };
    const { checkpoints = null } = settings;
    const records = { data, calibration, training, feeds };
    return { ...around, ...records, teacher, trainThreads, checkpoints, computeChoice };
  } finally {
    await session.close();
  }
}

/** Throws for a name that is no open axis of the model: it would silently do nothing. */
function checkDims(ports: readonly Port[], dims: Dims): void {
  const open = ports.flatMap(({ name, dims }) =>
    dims.flatMap((dim, axis) =>
      typeof dim === "number" && dim > 0 ? [] : [`${name}.${axis}`, ...(dim ? [String(dim)] : [])],
    ),
  );
  for (const name of Object.keys(dims)) {
    if (open.includes(name)) continue;
    const near = nearest(name, open);
    const remedy = near
      ? `Did you mean "${near}"?`
      : `Open axes: ${[...new Set(open)].join(", ") || "none"}`;
    throw fail(errors.badOption("--dims", `the model has no open axis "${name}"`, remedy));
  }
}

/** A model would silently be its own teacher where somebody gave a path instead of what `load` gives. */
function teacherOf(teacher: Loaded | null | undefined): Model | null {
  if (teacher && !teacher.model) {
    throw fail(errors.badOption("teacher", "it is no loaded model", "Give await load(path)"));
  }
  return teacher?.model ?? null;
}

/** Most of the records train, the metric is taken on the others. */
function halved(data: Dataset | null, seed: number) {
  if (!data || data.length < 5) return { data, training: null, calibration: null };
  const { calibration: rest, rest: training } = splitDataset(data, { fraction: share, seed });
  return { data: rest, training, calibration: part(training, seed) };
}

/** At most as many records as calibration needs. */
function part(dataset: Dataset, seed: number): Dataset {
  if (dataset.length <= enough) return dataset;
  return splitDataset(dataset, { count: enough, seed }).calibration;
}

/** A seeded part calibrates; the metric is taken on the others. */
function divided(data: Dataset | null, seed: number, onEvent: (event: Event) => void) {
  if (!data) return { data: null, calibration: null };
  const count = Math.min(enough, Math.max(1, Math.round(share * data.length)));
  if (data.length < 2) {
    const text = `${data.name} is a single record: it calibrates and measures at once`;
    onEvent({ type: "warning", text });
    return { data, calibration: subset(data, [0]) };
  }
  const { calibration, rest } = splitDataset(data, { count, seed });
  return { data: rest, calibration };
}

/** Latency, MACs and calibration depend on sizes that were only guessed. */
function tellSizes(
  { inputs }: Pick<Session, "inputs">,
  feeds: Environment["feeds"],
  onEvent: (event: Event) => void,
): void {
  const isOpen = ({ dims }: Port) => dims.some((dim) => typeof dim !== "number" || dim <= 0);
  const shapes = inputs
    .filter(isOpen)
    .map(({ name }) => `${name} [${feeds[name]?.shape.join(",")}]`);
  if (shapes.length === 0) return;
  const text = `no data given: random inputs of ${shapes.join(", ")} (other sizes with --dims)`;
  onEvent({ type: "note", text });
}
