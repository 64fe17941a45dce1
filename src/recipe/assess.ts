/** @file Measures one version of a model beside the original; the result is a row of reports. */
import { errors, fail } from "../errors.ts";
import type { Model } from "../ir/model.ts";
import { brokenWeights } from "../measure/broken-weights.ts";
import { collapseOf } from "../measure/collapse.ts";
import { type Speedup, speedupOver, type Timing } from "../measure/latency.ts";
import { marksOf } from "../measure/marks.ts";
import { type Latency, type Metric, type Result, untimed } from "../measure/measurement.ts";
import { type Evaluation, implausible, type Reference } from "../measure/metric.ts";
import { packedSize } from "../measure/pack.ts";
import { countParams } from "../measure/params.ts";
import { measureBytes } from "../measure/size.ts";
import { onBasis } from "../measure/speed.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { costModel } from "../ops/cost.ts";
import { rangeOf } from "../ops/range.ts";
import {
  type Feeds,
  type Session,
  type Source,
  sourceBytes,
  sourceChunks,
} from "../runtime/runtime.ts";
import { type Environment, isMeasured } from "./environment.ts";
import type { Loaded } from "./load.ts";
import { measured } from "./measured.ts";
import { betterPreprocessing } from "./preprocessing.ts";
import { decides, type Opened, openTimed, timeSessions } from "./time-sessions.ts";

/** The measured original, with an open session: what every other version is compared with. */
export interface Baseline {
  readonly loaded: Loaded;
  /** The original, open, null where nothing is run; and the simplified one, if recipes start from it. */
  readonly original: Opened | null;
  readonly simplified: Opened | null;
  /** The original's outputs, with which those of each version are compared. */
  readonly reference: Reference | null;
  readonly result: Result;
  /** What of the original's weights is not finite, as a warning for all rows; else null. */
  readonly broken: string | null;
  readonly env: Environment;
  /** Closes the sessions; for whoever called `assessBaseline`. */
  close(): Promise<void>;
}

export interface BaselineOptions {
  /** The model has not been trained yet, so it may score at chance (default false). */
  readonly untrained?: boolean;
  /** The simplified original, if recipes start from it: products are timed beside it as well. */
  readonly simplified?: Model | null;
}

/** Outputs of the original are kept up to this many bytes, to count flipped predictions. */
const KEEP_BYTES = 2 ** 29;

/**
 * Opens and measures the original: file sizes, metric, latency, parameters. Throws TersorError
 * "implausible-baseline" when it scores no better than chance, because then the preprocessing is
 * wrong and every later figure would be wrong too; "bad-number" if NaN or infinities are the
 * reason. `untrained` turns this check off.
 */
export async function assessBaseline(
  loaded: Loaded,
  env: Environment,
  { untrained = false, simplified: model = null }: BaselineOptions = {},
): Promise<Baseline> {
  const opened: Opened[] = [];
  const open = async (source: Source): Promise<Opened> => {
    const found = await openTimed(source, env);
    opened.push(found);
    return found;
  };
  const close = async (): Promise<void> => {
    for (const { session } of opened) await session.close();
  };
  try {
    const original = isMeasured(env) ? await open(loaded.source) : null;
    const measured = await measureBaseline(loaded, original, env, untrained);
    const simplified = model && original && (await open({ bytes: concat(writeModel(model)) }));
    return { loaded, original, simplified, env, close, ...measured };
  } catch (cause) {
    await close();
    throw cause;
  }
}

async function measureBaseline(
  loaded: Loaded,
  original: Opened | null,
  env: Environment,
  untrained: boolean,
): Promise<Pick<Baseline, "reference" | "result" | "broken">> {
  // gzip and brotli run on another core while the metric is measured. They are awaited before the
  // timing starts, because timing needs an otherwise idle machine.
  const sizes = sizesOf(loaded.source, env, () => packedOf(loaded));
  sizes.catch(() => {}); // or it would be an unhandled rejection if the metric fails first
  const evaluation =
    original && (await measureOriginal(loaded, original.session, env, { untrained }));
  const { metric = null, classes = null } = evaluation ?? {};
  const broken = brokenWeights(loaded.model);
  const bytes = await sizes;
  const timings =
    env.times !== false && original ? await timeSessions([original], env, timingMs(env) / 2) : null;
  const { macs, params, nonzeros } = sizeOf(loaded.model, env);
  const same = classes === null ? {} : { flips: 0, kl: 0 };
  const draft = {
    recipe: "original",
    family: "control",
    file: loaded.name,
    bytes,
    params,
    nonzeros,
    macs,
    latency: timings && latencyOf(timings[0], env),
    metric: metric && {
      ...metric,
      baseline: metric.value,
      drop: 0,
      ...same,
      ...recordsOf(env, metric),
    },
    alpha: { params: 1, bytes: 1, brotli: bytes.brotli === null ? null : 1 },
    beta: { survey: 0, saved: 0 },
    delta: original ? { ...untimed, infer: 1 } : untimed,
    ease: { data: "none", training: false, seconds: 0, covered: 0 },
    skipped: [],
    warnings: warningsOf(broken, evaluation?.warnings ?? []),
    seed: env.seed,
    versions: versionsOf(env),
  } as const;
  const result: Result = { ...draft, marks: marksOf(draft) };
  return { reference: evaluation?.reference ?? null, result, broken };
}

/**
 * Measures the metric of the original on the data, and keeps its outputs to compare versions with;
 * null without data. Throws TersorError "implausible-baseline" and "bad-number" as
 * `assessBaseline` says.
 */
export async function measureOriginal(
  loaded: Loaded,
  session: Session,
  env: Environment,
  { untrained = false }: Pick<BaselineOptions, "untrained"> = {},
): Promise<Evaluation | null> {
  const evaluation = await measured(session, env, "original", {
    keepBytes: KEEP_BYTES,
    peaks: peaksOf(loaded.model),
    model: loaded.model,
  });
  const { metric = null, classes = null } = evaluation ?? {};
  const wrong =
    metric && env.data && !untrained ? implausible(metric, classes, env.data.name) : null;
  const why = brokenWeights(loaded.model) ?? evaluation?.broken;
  if (evaluation?.note) env.onEvent({ type: "note", text: evaluation.note });
  if (wrong && why)
    throw fail(errors.badNumber(loaded.name, why, "Check the model and the data"), wrong);
  if (wrong && env.reopen && env.data?.images && classes) {
    const found = await betterPreprocessing(session, env.reopen, classes, env.signal);
    const { code, what, where } = wrong;
    if (found) throw fail({ code, what, where, remedy: `It scores ${found}` }, wrong);
  }
  if (wrong) throw wrong;
  return evaluation;
}

/** A version of the model to be measured, and the facts about it that are not measured here. */
export interface Version {
  readonly recipe: string;
  readonly family: string;
  /** Path of the file it is or will be written to; null if it is not written. */
  readonly file: string | null;
  readonly source: Source;
  /** Bytes of its .tersor file; null where that was not measured. */
  readonly packed: number | null;
  readonly model: Model;
  /** Whether a recipe made it from the simplified original, so that it is timed beside that too. */
  readonly isFromSimplified: boolean;
  /** Speed-up of a training step over the original's; null where it was not trained. */
  readonly training: Speedup | null;
  readonly ease: Result["ease"];
  readonly skipped: Result["skipped"];
  readonly warnings: readonly string[];
}

/**
 * Measures a version: its metric on the same records as the baseline, its sizes, and its speed in
 * rounds that alternate with the original (and with the simplified original); no speed where
 * `env.times` is false. Throws what the engine and the data readers throw.
 */
export async function assess(baseline: Baseline, candidate: Version): Promise<Result> {
  const { env, original, reference } = baseline;
  const sizes = sizesOf(candidate.source, env, () => candidate.packed);
  sizes.catch(() => {});
  if (!original) {
    const warnings = warningsOf(baseline.broken, candidate.warnings);
    return rowOf(baseline.result, candidate, env, { bytes: await sizes, metric: null, warnings });
  }
  const product = await openTimed(candidate.source, env);
  try {
    const evaluation = await measured(product.session, env, candidate.recipe, {
      reference,
      model: candidate.model,
    });
    const bytes = await sizes;
    const metric = evaluation?.metric ?? null;
    // Tensors are named as in the original; a recipe may have renamed them.
    const collapse = evaluation?.metric && collapseOf(evaluation.metric);
    const warnings = warningsOf(baseline.broken, [
      ...(collapse ? [collapse] : []),
      ...candidate.warnings,
      ...(evaluation?.warnings ?? []),
    ]);
    const row = rowOf(baseline.result, candidate, env, { bytes, metric, warnings });
    if (env.times === false) return row;
    const { isFromSimplified, model } = candidate;
    return await timeOpened(baseline, row, { isFromSimplified, varies: decides(model) }, product);
  } finally {
    await product.session.close();
  }
}

/** What timing has to know of a version. */
export interface TimedVersion extends Pick<Version, "isFromSimplified"> {
  /** Whether it `decides` by its input what to run. */
  readonly varies: boolean;
}

/** The row of a version, which was measured elsewhere, with its times beside the original. */
export async function timeRow(
  baseline: Baseline,
  row: Result,
  version: TimedVersion & Pick<Version, "source">,
): Promise<Result> {
  if (!baseline.original || baseline.env.times === false) return row;
  const product = await openTimed(version.source, baseline.env);
  try {
    return await timeOpened(baseline, row, version, product);
  } finally {
    await product.session.close();
  }
}

async function timeOpened(
  { loaded, original, simplified, result: { latency }, env }: Baseline,
  row: Result,
  { isFromSimplified, varies }: TimedVersion,
  product: Opened,
): Promise<Result> {
  const start = isFromSimplified ? simplified : null;
  const opened = [original as Opened, ...(start ? [start] : []), product];
  const timings = await timeSessions(opened, env, timingMs(env), {
    clock: latency?.clock,
    varies: varies || decides(loaded.model),
  });
  const timing = timings[timings.length - 1];
  // Over the simplified original, from the same rounds.
  const recipe = start && speedupOver(timings[1], timing);
  const draft = {
    ...row,
    latency: latencyOf(timing, env),
    delta: {
      ...row.delta,
      infer: timing.ratio.value,
      recipe: recipe?.value ?? null,
      ci95: { ...row.delta.ci95, infer: timing.ratio.ci95, recipe: recipe?.ci95 ?? null },
    },
  };
  return onBasis({ ...draft, marks: marksOf(draft) }, latency);
}

interface Measured {
  readonly bytes: Result["bytes"];
  readonly metric: Metric | null;
  readonly warnings: readonly string[];
}

/** The row of a version without its times; rates are relative to `original`. */
function rowOf(
  original: Result,
  candidate: Version,
  env: Environment,
  { bytes, metric, warnings }: Measured,
): Result {
  const { macs, params, nonzeros } = sizeOf(candidate.model, env);
  const alphaParams = original.params / params;
  const alphaBytes = original.bytes.raw / bytes.raw;
  const draft = {
    recipe: candidate.recipe,
    family: candidate.family,
    file: candidate.file,
    bytes,
    params,
    nonzeros,
    macs,
    latency: null,
    metric: metric && { ...metric, ...recordsOf(env, metric) },
    alpha: {
      params: alphaParams,
      bytes: alphaBytes,
      brotli:
        bytes.brotli === null || original.bytes.brotli === null
          ? null
          : original.bytes.brotli / bytes.brotli,
    },
    beta: { survey: alphaParams - 1, saved: 1 - 1 / alphaBytes },
    delta: {
      ...untimed,
      train: candidate.training?.value ?? null,
      ci95: { ...untimed.ci95, train: candidate.training?.ci95 ?? null },
    },
    ease: candidate.ease,
    skipped: candidate.skipped,
    warnings,
    seed: env.seed,
    versions: original.versions,
  };
  return { ...draft, marks: marksOf(draft) };
}

/** The warnings of a row, each once, after one about weights that are not finite. */
function warningsOf(broken: string | null, warnings: readonly string[]): string[] {
  return [...new Set(broken ? [broken, ...warnings] : warnings)];
}

/** The largest magnitude that an output can have, by name, where its operator tells. */
function peaksOf({ graph }: Model): Record<string, number> {
  return Object.fromEntries(
    graph.outputs.flatMap((output) => {
      const range = rangeOf(output);
      return range ? [[output.name, Math.max(-range.low, range.high)]] : [];
    }),
  );
}

/** How many records the metric is of, and how many others there were, where that is known. */
function recordsOf({ records }: Environment, { n }: Metric) {
  return records ? { records: { ...records, judged: records.judged === null ? null : n } } : {};
}

/** Wall time, in ms, for timing one version beside the original. */
export const timingMs = (env: Environment): number => env.timingMs ?? 2000;

/**
 * The size of each axis of each feed, under the key "name.axis" ("x.0" is the batch of input x).
 */
export function dimsOf(feeds: Feeds): Record<string, number> {
  const dims: Record<string, number> = {};
  for (const [name, { shape }] of Object.entries(feeds)) {
    for (const [axis, size] of shape.entries()) dims[`${name}.${axis}`] = size;
  }
  return dims;
}

/**
 * Bytes of the .tersor file that the model was loaded from, else of the one it would be packed to.
 */
export function packedOf({ name, source, packed, opset, model }: Loaded): number | null {
  return packed ?? packedSize({ name, source, model: opset === model.opset ? model : null });
}

/** The sizes of a model's files; only the raw one where nothing is measured. */
async function sizesOf(
  source: Source,
  env: Environment,
  packed: () => number | null,
): Promise<Result["bytes"]> {
  const raw = sourceBytes(source);
  if (env.measures === false) return { raw, gzip: null, brotli: null, packed: null };
  const files = { [Symbol.iterator]: () => sourceChunks(source) };
  return measureBytes(files, env.platform, packed());
}

/** How many records one run processes: the first axis of the first input that has axes, else 1. */
export function batchOf(feeds: Feeds): number {
  return Object.values(feeds).find(({ shape }) => shape.length > 0)?.shape[0] ?? 1;
}

function sizeOf(model: Model, env: Environment) {
  const cost = costModel(model, { dims: dimsOf(env.feeds) });
  const { params, nonzeros } = countParams(model, cost);
  return { macs: cost.macs, params, nonzeros };
}

function latencyOf({ latency }: Timing, env: Environment): Latency {
  return {
    ...latency,
    runtime: env.runtime.name,
    threads: env.threads,
    batch: batchOf(env.feeds),
  };
}

function versionsOf({ platform, runtime }: Environment): Record<string, string> {
  return { platform: platform.name, runtime: `onnxruntime-${runtime.name} ${runtime.version}` };
}
