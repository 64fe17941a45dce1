/** @file Measures one version of a model beside the original: a row of every report. */
import type { Dataset } from "../data/dataset.ts";
import type { Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { measureLatency, type Timing } from "../measure/latency.ts";
import { marksOf } from "../measure/marks.ts";
import type { Latency, Metric, Result } from "../measure/measurement.ts";
import { implausible, measureMetric, type Reference } from "../measure/metric.ts";
import { packedSize } from "../measure/pack.ts";
import { measureBytes } from "../measure/size.ts";
import { costModel } from "../ops/cost.ts";
import { weightsOf } from "../ops/weights.ts";
import type { Feeds, Session, Source } from "../runtime/runtime.ts";
import { readWeight } from "../weights/read.ts";
import type { Environment } from "./environment.ts";
import type { Loaded } from "./load.ts";
import { randomFeeds } from "./sample.ts";

/** The original, open and measured: what every other version is held against. */
export interface Baseline {
  readonly loaded: Loaded;
  readonly session: Session;
  readonly reference: Reference | null;
  readonly result: Result;
  readonly env: Environment;
}

/** Outputs of the original up to this size are kept, to count flips against. */
const KEEP_BYTES = 2 ** 29;

/**
 * Throws TersorError "implausible-baseline" when the original scores no better than chance: then
 * the preprocessing is wrong, and every figure after it would be. An \`untrained\` one may.
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
  const data = judged(session, env);
  // Coders run on another core meanwhile; before anything is timed, for then the machine must be quiet.
  const sizes = measureBytes(chunksOf(loaded.source), env.platform, packedOf(loaded));
  sizes.catch(() => {}); // not unhandled where the metric fails first
  const evaluation = await measureMetric({
    session,
    dataset: data,
    ...batching(env),
    keepBytes: KEEP_BYTES,
    signal: env.signal ?? undefined,
    onProgress: (done, total) => env.onEvent({ type: "progress", what: "original", done, total }),
  });
  const { metric } = evaluation;
  const wrong =
    metric && env.data && !untrained
      ? implausible(metric, evaluation.classes, env.data.name)
      : null;
  if (wrong) throw wrong;
  const bytes = await sizes;
  const [timing] = await measureLatency([{ name: "original", run: () => session.run(env.feeds) }], {
    platform: env.platform,
    signal: env.signal ?? undefined,
    budgetMs: timingMs(env) / 2,
  });
  const cost = costModel(loaded.model, { dims: dimsOf(env.feeds) });
  const draft = {
    recipe: "original",
    family: "control",
    file: loaded.name,
    bytes,
    params: cost.params,
    nonzeros: nonzerosOf(loaded.model, cost.params),
    macs: cost.macs,
    latency: latencyOf(timing, env),
    metric: metric && {
      ...metric,
      baseline: metric.value,
      drop: env.data ? 0 : null,
      flips: 0,
      kl: 0,
    },
    alpha: { params: 1, bytes: 1, brotli: bytes.brotli === null ? null : 1 },
    beta: { survey: 0, saved: 0 },
    delta: { infer: 1, train: null },
    ease: { data: "none", training: false, seconds: 0, covered: 0 },
    skipped: [],
    warnings: evaluation.warnings,
    seed: env.seed,
    versions: versionsOf(env),
  } as const;
  const result: Result = { ...draft, marks: marksOf(draft) };
  return { reference: evaluation.reference, result };
}

/** A version of the model, and how it came about. */
export interface Version {
  readonly recipe: string;
  readonly family: string;
  readonly file: string | null;
  readonly source: Source;
  /** Bytes of its .tersor file, where that was measured. */
  readonly packed: number | null;
  readonly model: Model;
  readonly ease: Result["ease"];
  readonly skipped: Result["skipped"];
  readonly warnings: readonly string[];
}

export interface Assessment {
  readonly result: Result;
  /** The original, timed in the same rounds: on a busy machine only this compares. */
  readonly beside: Latency;
}

export async function assess(baseline: Baseline, candidate: Version): Promise<Assessment> {
  const { env, session: original, reference } = baseline;
  const session = await env.runtime.open(candidate.source, { threads: env.threads });
  try {
    const sizes = measureBytes(chunksOf(candidate.source), env.platform, candidate.packed);
    sizes.catch(() => {});
    const evaluation = await measureMetric({
      session,
      dataset: judged(original, env),
      ...batching(env),
      reference,
      signal: env.signal ?? undefined,
      onProgress: (done, total) =>
        env.onEvent({ type: "progress", what: candidate.recipe, done, total }),
    });
    const bytes = await sizes;
    const [beside, timing] = await measureLatency(
      [
        { name: "original", run: () => original.run(env.feeds) },
        { name: candidate.recipe, run: () => session.run(env.feeds) },
      ],
      { platform: env.platform, signal: env.signal ?? undefined, budgetMs: timingMs(env) },
    );
    const { metric, warnings } = evaluation;
    const result = row(baseline.result, candidate, env, bytes, metric, timing, warnings);
    return { result, beside: latencyOf(beside, env) };
  } finally {
    await session.close();
  }
}

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
    // Process-CPU time is what a busy machine disturbs least; with several threads it is not the speed.
    delta: {
      infer: env.threads === 1 ? (timing.cpuRatio ?? timing.ratio).value : timing.ratio.value,
      train: null,
    },
    ease: candidate.ease,
    skipped: candidate.skipped,
    warnings: [...candidate.warnings, ...warnings],
    seed: env.seed,
    versions: original.versions,
  };
  return { ...draft, marks: marksOf(draft) };
}

/** Random inputs go through one at a time: that keeps models of any batch size content. */
function batching(env: Environment): { batchSize?: number } {
  return env.data ? {} : { batchSize: 1 };
}

export const timingMs = (env: Environment): number => env.timingMs ?? 2000;

/** The data, or without any a seeded set of random inputs: then only fidelity can be told. */
function judged(session: Session, env: Environment): Dataset {
  if (env.data) return env.data;
  const length = 16;
  const dims = dimsOf(env.feeds);
  return {
    name: "random inputs",
    length,
    classes: null,
    labels: null,
    labelled: false,
    async read(indices) {
      const inputs = randomFeeds(session.inputs, env.seed + 1 + (indices[0] ?? 0), 1, dims);
      return { inputs, label: null, size: 1 };
    },
  } as Dataset;
}

/** Sizes of every input axis of the feeds, by "name.axis". */
export function dimsOf(feeds: Feeds): Record<string, number> {
  const dims: Record<string, number> = {};
  for (const [name, { shape }] of Object.entries(feeds)) {
    for (const [axis, size] of shape.entries()) dims[`${name}.${axis}`] = size;
  }
  return dims;
}

/** Bytes of the .tersor file that the model came in, or would be. */
export function packedOf({ name, source, packed, opset, model }: Loaded): number | null {
  return packed ?? packedSize({ name, source, model: opset === model.opset ? model : null });
}

/** The files of a model. */
function chunksOf({ bytes, external = [] }: Source): Uint8Array[] {
  return [bytes, ...external.map(({ data }) => data)];
}

/** Records in one run. */
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

/** Parameters that are not zero: weights counted as what their stored form stands for. */
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
