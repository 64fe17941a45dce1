/** @file Measures one version of a model beside the original; the result is a row of reports. */
import { errors, fail } from "../errors.ts";
import type { Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { brokenWeights } from "../measure/broken-weights.ts";
import { measureLatency, type Timing } from "../measure/latency.ts";
import { marksOf } from "../measure/marks.ts";
import type { Latency, Metric, Result } from "../measure/measurement.ts";
import {
  type Evaluation,
  implausible,
  type MetricOptions,
  measureMetric,
  type Reference,
} from "../measure/metric.ts";
import { packedSize } from "../measure/pack.ts";
import { measureBytes } from "../measure/size.ts";
import { costModel } from "../ops/cost.ts";
import { rangeOf } from "../ops/range.ts";
import { weightsOf } from "../ops/weights.ts";
import type { Feeds, Session, Source } from "../runtime/runtime.ts";
import { readWeight } from "../weights/read.ts";
import type { Environment } from "./environment.ts";
import type { Loaded } from "./load.ts";

/** The measured original, with an open session: what every other version is compared with. */
export interface Baseline {
  readonly loaded: Loaded;
  /** Open on the original's file; whoever called `assessBaseline` closes it. */
  readonly session: Session;
  /** The original's outputs, with which those of each version are compared. */
  readonly reference: Reference | null;
  readonly result: Result;
  readonly env: Environment;
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
  { untrained = false } = {},
): Promise<Baseline> {
  const session = await env.runtime.open(loaded.source, { threads: env.threads });
  try {
    const measured = await measureBaseline(loaded, session, env, untrained);
    return { loaded, session, env, ...measured };
  } catch (cause) {
    await session.close();
    throw cause;
  }
}

async function measureBaseline(
  loaded: Loaded,
  session: Session,
  env: Environment,
  untrained: boolean,
): Promise<Pick<Baseline, "reference" | "result">> {
  // gzip and brotli run on another core while the metric is measured. They are awaited before the
  // timing starts, because timing needs an otherwise idle machine.
  const sizes = measureBytes(chunksOf(loaded.source), env.platform, packedOf(loaded));
  sizes.catch(() => {}); // or it would be an unhandled rejection if the metric fails first
  const evaluation = await measured(session, env, "original", {
    keepBytes: KEEP_BYTES,
    peaks: peaksOf(loaded.model),
  });
  const { metric = null, classes = null } = evaluation ?? {};
  const wrong =
    metric && env.data && !untrained ? implausible(metric, classes, env.data.name) : null;
  const broken = wrong && (brokenWeights(loaded.model) ?? evaluation?.broken);
  if (broken)
    throw fail(errors.badNumber(loaded.name, broken, "Check the model and the data"), wrong);
  if (wrong) throw wrong;
  const bytes = await sizes;
  const [timing] = await measureLatency([{ name: "original", run: () => session.run(env.feeds) }], {
    platform: env.platform,
    signal: env.signal ?? undefined,
    budgetMs: timingMs(env) / 2,
  });
  const cost = costModel(loaded.model, { dims: dimsOf(env.feeds) });
  const same = classes === null ? {} : { flips: 0, kl: 0 };
  const draft = {
    recipe: "original",
    family: "control",
    file: loaded.name,
    bytes,
    params: cost.params,
    nonzeros: nonzerosOf(loaded.model, cost.params),
    macs: cost.macs,
    latency: latencyOf(timing, env),
    metric: metric && { ...metric, baseline: metric.value, drop: 0, ...same },
    alpha: { params: 1, bytes: 1, brotli: bytes.brotli === null ? null : 1 },
    beta: { survey: 0, saved: 0 },
    delta: { infer: 1, train: null },
    ease: { data: "none", training: false, seconds: 0, covered: 0 },
    skipped: [],
    warnings: warningsOf(loaded.model, evaluation?.warnings ?? []),
    seed: env.seed,
    versions: versionsOf(env),
  } as const;
  const result: Result = { ...draft, marks: marksOf(draft) };
  return { reference: evaluation?.reference ?? null, result };
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
  readonly ease: Result["ease"];
  readonly skipped: Result["skipped"];
  readonly warnings: readonly string[];
}

/** The measurements of one version. */
export interface Assessment {
  readonly result: Result;
  /**
   * Latency of the original, timed in the same rounds. On a busy machine only this one may be
   * compared with `result.latency`; the baseline's own was measured at another time.
   */
  readonly beside: Latency;
}

/**
 * Measures a version: its metric on the same records as the baseline, its sizes, and its latency in
 * rounds that alternate with the original. Throws what the engine and the data readers throw.
 */
export async function assess(baseline: Baseline, candidate: Version): Promise<Assessment> {
  const { env, session: original, reference } = baseline;
  const session = await env.runtime.open(candidate.source, { threads: env.threads });
  try {
    const sizes = measureBytes(chunksOf(candidate.source), env.platform, candidate.packed);
    sizes.catch(() => {});
    const evaluation = await measured(session, env, candidate.recipe, { reference });
    const bytes = await sizes;
    const [beside, timing] = await measureLatency(
      [
        { name: "original", run: () => original.run(env.feeds) },
        { name: candidate.recipe, run: () => session.run(env.feeds) },
      ],
      { platform: env.platform, signal: env.signal ?? undefined, budgetMs: timingMs(env) },
    );
    const { metric = null } = evaluation ?? {};
    // Tensors are named as in the original; a recipe may have renamed them.
    const warnings = warningsOf(baseline.loaded.model, [
      ...candidate.warnings,
      ...(evaluation?.warnings ?? []),
    ]);
    const result = row(baseline.result, candidate, env, bytes, metric, timing, warnings);
    return { result, beside: latencyOf(beside, env) };
  } finally {
    await session.close();
  }
}

/** The result row of a version; rates and speed-ups are relative to `original`. */
function row(
  original: Result,
  candidate: Version,
  env: Environment,
  bytes: Result["bytes"],
  metric: Metric | null,
  timing: Timing,
  warnings: readonly string[],
): Result {
  const cost = costModel(candidate.model, { dims: dimsOf(env.feeds) });
  const nonzeros = nonzerosOf(candidate.model, cost.params);
  const alphaBytes = original.bytes.raw / bytes.raw;
  const draft = {
    recipe: candidate.recipe,
    family: candidate.family,
    file: candidate.file,
    bytes,
    params: cost.params,
    nonzeros,
    macs: cost.macs,
    latency: latencyOf(timing, env),
    metric,
    alpha: {
      params: original.nonzeros / nonzeros,
      bytes: alphaBytes,
      brotli:
        bytes.brotli === null || original.bytes.brotli === null
          ? null
          : original.bytes.brotli / bytes.brotli,
    },
    beta: { survey: alphaBytes - 1, saved: 1 - 1 / alphaBytes },
    // Other work on the machine disturbs process CPU time least. With several threads CPU time
    // adds up over the threads and is no measure of speed, so wall time is used.
    delta: {
      infer: env.threads === 1 ? (timing.cpuRatio ?? timing.ratio).value : timing.ratio.value,
      train: null,
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
function warningsOf(model: Model, warnings: readonly string[]): string[] {
  const broken = brokenWeights(model);
  return [...new Set(broken ? [broken, ...warnings] : warnings)];
}

/**
 * Measures the metric on the data. Null without data: random inputs say nothing of quality, because
 * a network may answer noise with noise.
 */
async function measured(
  session: Session,
  env: Environment,
  what: string,
  options: Pick<MetricOptions, "reference" | "keepBytes" | "peaks">,
): Promise<Evaluation | null> {
  if (!env.data) return null;
  return measureMetric({
    session,
    dataset: env.data,
    ...options,
    signal: env.signal ?? undefined,
    onProgress: (done, total) => env.onEvent({ type: "progress", what, done, total }),
  });
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

/** The contents of a model's files: the ONNX file, then its external data. */
function chunksOf({ bytes, external = [] }: Source): Uint8Array[] {
  return [bytes, ...external.map(({ data }) => data)];
}

/** How many records one run processes: the first axis of the first input that has axes, else 1. */
export function batchOf(feeds: Feeds): number {
  return Object.values(feeds).find(({ shape }) => shape.length > 0)?.shape[0] ?? 1;
}

function latencyOf({ latency }: Timing, env: Environment): Latency {
  return {
    ...latency,
    runtime: env.runtime.name,
    threads: env.threads,
    batch: batchOf(env.feeds),
  };
}

/**
 * How many of the `params` parameters are not zero. Compressed weights are decoded first, so that a
 * zero counts as one whatever form it is stored in.
 */
export function nonzerosOf(model: Model, params: number): number {
  const seen = new Set<Value>();
  let zeros = 0;
  for (const { value } of weightsOf(model)) {
    if (seen.has(value)) continue;
    seen.add(value);
    for (const w of readWeight(value)?.values ?? []) if (w === 0) zeros++;
  }
  return params - zeros;
}

function versionsOf({ platform, runtime }: Environment): Record<string, string> {
  return { platform: platform.name, runtime: `onnxruntime-${runtime.name} ${runtime.version}` };
}
