/** @file Makes an Environment from a user's settings: opens the data, picks an engine. */
import { contentOf } from "../data/content.ts";
import { type Dataset, subset } from "../data/dataset.ts";
import { checkFeeding, feedingOf, type Inputs } from "../data/feed.ts";
import type { Dims } from "../data/guess-shapes.ts";
import { openData } from "../data/open.ts";
import { type DataOptions, mergeOptions, parsePreprocess, preprocessKey } from "../data/options.ts";
import { splitDataset } from "../data/split.ts";
import { errors, fail, TersorError } from "../errors.ts";
import type { Model } from "../ir/model.ts";
import type { Records } from "../measure/measurement.ts";
import { metricNamed } from "../measure/metrics/index.ts";
import type { MetricSpec } from "../measure/metrics/spec.ts";
import { type OwnMetric, specOfOwn } from "../measure/own-metric.ts";
import { isPrivate } from "../ops/schema.ts";
import type { Checkpoints, Platform } from "../platform.ts";
import type { Feeds, Port, Session } from "../runtime/runtime.ts";
import { type ComputeChoice, plainChoice } from "../train/state.ts";
import { nearest } from "../util/nearest.ts";
import { engineOf } from "./engine.ts";
import { type Environment, type Event, isOfTarget } from "./environment.ts";
import type { Keeper } from "./keeper.ts";
import type { Loaded } from "./load.ts";
import { sampleFeeds, spreadFeeds } from "./sample.ts";
import { withStates } from "./states.ts";

/**
 * A data source (`mnist:test`, `images:folder` ...) and the options for reading records from it.
 */
export interface DataSource {
  readonly spec: string;
  readonly options: DataOptions;
}

/** What a user may choose; everything has a default (see `withDefaults`). */
export interface Settings {
  /** Records to measure on. Without `calib`, a part of them is set aside and not measured on. */
  readonly data?: DataSource | string | null | undefined;
  /**
   * What judges the outputs: a metric of the table ("detection", "detection:score=0.5"), the path of
   * a module of your own ("./my-metric.ts") or a metric made with `ownMetric`, or
   * a function that makes one for each pass (default: the one that
   * the labels and outputs make clear).
   */
  readonly metric?: string | OwnMetric | (() => OwnMetric) | null | undefined;
  /** Records for calibration and training; the default is the part of `data` that is set aside. */
  readonly calib?: DataSource | string | null | undefined;
  /** Measure on all of `data`, because no method needs other records (default false). */
  readonly keepAll?: boolean | undefined;
  /** Engine (default "auto": the native one where it is installed). */
  readonly runtime?: "auto" | "node" | "web" | undefined;
  /**
   * Where the models will run, a target of docs/targets.md: "web-wasm" (default: this machine). It
   * decides the engine and what methods choose; where this machine is no such target nothing is timed.
   */
  readonly on?: string | undefined;
  /** Engine threads (default 1). */
  readonly threads?: number | undefined;
  /** Some step will train: most of `data` is set aside for that (default false). */
  readonly trains?: boolean | undefined;
  /** The model that a distillation loss learns from (default: the original model of the run). */
  readonly teacher?: Loaded | null | undefined;
  /** Train without the self-test by time, so that a run can be repeated exactly (default false). */
  readonly deterministic?: boolean | undefined;
  /** The form of computing that an earlier run chose, to repeat that run to the byte. */
  readonly computeChoice?: ComputeChoice | null | undefined;
  readonly checkpoints?: Checkpoints | null | undefined;
  /** Seed of everything random (default 1). */
  readonly seed?: number | undefined;
  /**
   * Sizes of the axes that the model leaves open; used for random inputs, where there is no data.
   */
  readonly dims?: Dims | undefined;
  /**
   * How inputs are fed that no record fills, with and without data: { sr: 16000, state: "zeros" },
   * or texts as for the flag --input. The options of a data source may say more.
   */
  readonly input?: Inputs | undefined;
  /**
   * Whether products are judged and timed (default true). Without it only raw bytes, parameters and
   * MACs are known, and steps are not rescued.
   */
  readonly measures?: boolean | undefined;
  /** Seconds spent on timing each version beside the original (default 2). */
  readonly timingSeconds?: number | undefined;
  /** Holds the measured original for the next call (`compress`, `evaluate`); see `createKeeper`. */
  readonly keeper?: Keeper | undefined;
  readonly signal?: AbortSignal | null | undefined;
  /**
   * Ends runs of training early, without an error: each is scored once more on its held-out records
   * and keeps what its option `keep` says. The result's warnings tell after which step.
   */
  readonly finish?: AbortSignal | null | undefined;
  readonly onEvent?: ((event: Event) => void) | undefined;
}

/** A data source; for a plain name, one without options. */
export const sourceOf = (source: DataSource | string): DataSource =>
  typeof source === "string" ? { spec: source, options: {} } : source;

/** The settings that decide results, with their defaults filled in. */
export function withDefaults(settings: Settings, { cores }: Pick<Platform, "cores">) {
  const { seed = 1, threads = 1, dims = {}, deterministic = false, timingSeconds = 2 } = settings;
  const computeChoice = settings.computeChoice ?? (deterministic ? plainChoice : null);
  const trainThreads = settings.threads ?? cores;
  return { seed, threads, dims, trainThreads, computeChoice, timingSeconds };
}

/** The largest number of calibration records. */
const enough = 512;
/** The share of `data` that is set aside for calibration; with training, the share that judges. */
const share = 0.2;

/**
 * Opens the model and the data once and settles everything that all trials share. Throws
 * TersorError "bad-option" for unknown `dims` and a `teacher` that is not loaded, "cannot-open",
 * "bad-feeds" (no random inputs run), and whatever the readers of the data throw. Without data a model
 * that the engine cannot run for `isUnrunnable`'s reasons gives an environment in which nothing is
 * run; `unrun` says why.
 */
export async function prepare(
  loaded: Loaded,
  platform: Platform,
  settings: Settings = {},
): Promise<Environment> {
  const { seed, threads, trainThreads, computeChoice, timingSeconds } = withDefaults(
    settings,
    platform,
  );
  const { signal = null, finish = null, onEvent = () => {} } = settings;
  const teacher = teacherOf(settings.teacher);
  const metric = await metricOf(settings.metric, platform);
  const { runtime, target, warning } = await engineOf(settings, platform);
  if (warning) onEvent({ type: "warning", text: warning });
  const times = isOfTarget({ target, runtime, platform });
  const { checkpoints = null } = settings;
  const timingMs = timingSeconds * 1000;
  const around = {
    ...{ platform, runtime, target, threads, seed, signal, finish, onEvent, timingMs, times },
    ...{ teacher, trainThreads, checkpoints, computeChoice, metric },
    isTargetNamed: settings.on !== undefined,
    measures: settings.measures ?? true,
  };
  try {
    return { ...around, ...(await recordsFor(loaded, around, settings)) };
  } catch (cause) {
    const hasData = settings.data || settings.calib;
    if (hasData || !(cause instanceof TersorError) || !isUnrunnable(loaded.model, cause))
      throw cause;
    return { ...around, ...noRecords, unrun: cause };
  }
}

/** What an environment holds of data where no version of the model is run. */
const noRecords = { data: null, calibration: null, training: null, records: null, feeds: {} };

/**
 * Whether the engine cannot run a model for a reason that leaves its weights alone: operators of a
 * private domain, more than 2 GiB, or inputs of which not even the number of axes is known.
 */
function isUnrunnable({ graph }: Model, { code }: TersorError): boolean {
  const hasPrivate = () =>
    [...graph.walk()].some(({ nodes }) => [...nodes].some((node) => isPrivate(node)));
  if (code === "too-large") return true;
  if (code === "cannot-open") return hasPrivate();
  return code === "bad-feeds" && graph.inputs.some(({ shape }) => shape === null);
}

/** Opens the data, divides the records, and finds the inputs that each version is timed on. */
async function recordsFor(
  loaded: Loaded,
  { platform, runtime, threads, seed, onEvent }: Omit<Environment, keyof typeof noRecords>,
  settings: Settings,
): Promise<Pick<Environment, keyof typeof noRecords | "manyFeeds" | "reopen">> {
  const { dims } = withDefaults(settings, platform);
  const session = await runtime.open(loaded.source, { threads });
  try {
    checkDims(session.inputs, dims);
    const record = loaded.model.metadata.get(preprocessKey);
    const preprocess = record === undefined ? {} : parsePreprocess(record, loaded.name);
    const { input } = mergeOptions({ input: settings.input }, preprocess);
    const ports = portsOf(session, loaded.model);
    const beside = [loaded.name.replace(/[^/\\]*$/, "")];
    const completion = { model: loaded.model, dims, seed, beside };
    const open = async (source: DataSource | string): Promise<Dataset> => {
      const { spec, options: own } = sourceOf(source);
      const options = mergeOptions(own, { ...preprocess, ...(input && { input }) });
      const dataset = await openData(spec, ports, options, platform, preprocess, completion);
      return withStates(dataset, session, ports, feedingOf(options.input));
    };
    const feeding = feedingOf(input);
    if (!settings.data && !settings.calib) {
      checkFeeding(feeding, ports, session.outputs, loaded.name);
    }
    tellLeftOut(session, loaded.model, onEvent);
    const all = settings.data ? await open(settings.data) : null;
    const given = settings.calib ? await open(settings.calib) : null;
    const { data, training, calibration } =
      given || settings.keepAll
        ? { data: all, training: given, calibration: given && part(given, seed) }
        : settings.trains
          ? halved(all, seed)
          : { ...divided(all, seed, onEvent), training: null };
    const isShared = await areShared(settings, platform);
    if (isShared) warnShared(settings, onEvent);
    const feeds = await sampleFeeds(session, loaded.model, {
      data: all ?? given,
      ...{ seed, dims, feeding },
    });
    if (!all && !given) tellSizes(session, feeds, onEvent);
    const records = data ?? all ?? given;
    let many: Promise<readonly Feeds[]> | null = null;
    const manyFeeds = records && {
      manyFeeds: () => {
        many ??= spreadFeeds(records, feeds);
        return many;
      },
    };
    const counts = (all ?? given) && {
      judged: data?.length ?? null,
      calibration: calibration?.length ?? null,
      training: settings.trains ? (training?.length ?? null) : null,
      from: originOf(data, calibration, given !== null, isShared),
    };
    const judged = settings.data ? sourceOf(settings.data) : null;
    const reopen = judged && {
      reopen: (options: DataOptions) =>
        open({ ...judged, options: { ...judged.options, ...options } }),
    };
    return { data, calibration, training, records: counts, feeds, ...manyFeeds, ...reopen };
  } finally {
    await session.close();
  }
}

/** The inputs as the engine gives them, and which of them are of any rank. */
function portsOf({ inputs }: Pick<Session, "inputs">, { graph }: Model): readonly Port[] {
  const open = new Set(graph.inputs.flatMap(({ name, shape }) => (shape ? [] : [name])));
  return inputs.map((port) =>
    port.dims.length === 0 && open.has(port.name) ? { ...port, isOpenRank: true } : port,
  );
}

/** Says which outputs are no tensors, so that no version is judged by them. */
function tellLeftOut(
  { outputs }: Pick<Session, "outputs">,
  { graph }: Model,
  onEvent: (event: Event) => void,
): void {
  const left = graph.outputs.filter(({ name }) => !outputs.some((port) => port.name === name));
  if (left.length === 0) return;
  const names = left.map(({ name }) => `"${name}"`).join(", ");
  const text = `no tensor, so it is kept and not judged: output ${names}`;
  onEvent({ type: "note", text });
}

/** Whether a text names a module rather than a metric of the table. */
export const isMetricFile = (text: string): boolean => /[\\/]|\.[cm]?[jt]s$/i.test(text);

/**
 * The metric that the user named; null for none. Throws TersorError "bad-option" for an unknown name
 * and "bad-module" for a module that holds no metric.
 */
async function metricOf(given: Settings["metric"], platform: Platform): Promise<MetricSpec | null> {
  if (given === undefined || given === null) return null;
  if (typeof given !== "string") return specOfOwn(given, "metric");
  if (!isMetricFile(given)) return metricNamed(given, "--metric");
  return specOfOwn(await platform.module(given), given);
}

/** Where the records for calibration come from; see `Records`. */
function originOf(
  data: Dataset | null,
  calibration: Dataset | null,
  isGiven: boolean,
  isShared: boolean,
): Records["from"] {
  if (!calibration) return null;
  if (isGiven) return isShared ? "same" : "apart";
  return data?.length === 1 && calibration.length === 1 ? "same" : "held";
}

/** Whether `data` and `calib` are from the same files, under whatever names and limits. */
async function areShared({ data, calib }: Settings, platform: Platform): Promise<boolean> {
  if (!data || !calib) return false;
  const [judged, other] = [sourceOf(data).spec, sourceOf(calib).spec];
  if (judged === other) return true;
  const content = await contentOf(judged, platform);
  return content !== null && content === (await contentOf(other, platform));
}

function warnShared({ data, trains }: Settings, onEvent: (event: Event) => void): void {
  const what = `${trains ? "trained" : "calibrated"} and judged on the same records`;
  const { spec } = sourceOf(data as DataSource | string);
  const remedy = "Name other data for one of the two, or leave one out: then a part is held back";
  const text = `${what} (${spec}), which says little about new ones. ${remedy}.`;
  onEvent({ type: "warning", text });
}

/**
 * Throws TersorError "bad-option" for a name in `dims` that is no open axis of the model, which
 * would otherwise be ignored without a word.
 */
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

/**
 * The teacher's graph. Throws TersorError "bad-option" for a value that `load` did not give, such
 * as a path; it would otherwise be ignored, and the model would be its own teacher.
 */
function teacherOf(teacher: Loaded | null | undefined): Model | null {
  if (teacher && !teacher.model) {
    throw fail(errors.badOption("teacher", "it is no loaded model", "Give await load(path)"));
  }
  return teacher?.model ?? null;
}

/**
 * Divides `data` for a recipe that trains: 1 - `share` of the records train (a part of these also
 * calibrates), the others judge. Fewer than five records are not divided.
 */
function halved(data: Dataset | null, seed: number) {
  if (!data || data.length < 5) return { data, training: null, calibration: null };
  const { calibration: rest, rest: training } = splitDataset(data, { fraction: share, seed });
  return { data: rest, training, calibration: part(training, seed) };
}

/** A seeded part of the dataset, of at most `enough` records. */
function part(dataset: Dataset, seed: number): Dataset {
  if (dataset.length <= enough) return dataset;
  return splitDataset(dataset, { count: enough, seed }).calibration;
}

/**
 * Divides `data` for a recipe without training: a seeded part calibrates, the other records judge.
 * A single record does both, with a warning.
 */
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

/**
 * Reports the guessed sizes of random inputs as a note, because latency and MACs depend on them.
 * Nothing is reported where the model fixes all sizes.
 */
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
