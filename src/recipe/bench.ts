/** @file Bench: the latency of several model files, interleaved, on the same feeds. */
import { errors, fail, TersorError } from "../errors.ts";
import type { Latency } from "../measure/measurement.ts";
import type { Feeds, Session } from "../runtime/runtime.ts";
import { batchOf } from "./assess.ts";
import type { Environment } from "./environment.ts";
import type { Loaded } from "./load.ts";
import { decides, type Opened, openTimed, timeSessions } from "./time-sessions.ts";

/** The timing of one file; every round times each file once. */
export interface BenchRun {
  readonly file: string;
  readonly bytes: number | null;
  /** The first file's milliseconds, divided by `ratio`. Null where nothing was timed. */
  readonly latency: Latency | null;
  /** Speed-up over the first file; null for the first. */
  readonly ratio: number | null;
  /** 95 % interval of `ratio`. */
  readonly ci95: readonly [number, number] | null;
}

export interface BenchOptions {
  /** Wall time for each file (default 2 s). */
  readonly secondsEach?: number;
}

/**
 * Times `models` on `env.feeds`, which were made for the first of them. Throws TersorError
 * "bad-feeds" when another model does not take these inputs, "cannot-open" and "aborted".
 */
export async function bench(
  models: readonly Loaded[],
  env: Environment,
  { secondsEach = 2 }: BenchOptions = {},
): Promise<BenchRun[]> {
  const { runtime, threads, feeds } = env;
  const opened: Opened[] = [];
  try {
    for (const model of models) {
      opened.push(await openTimed(model.source, env));
      await tryFeeds(opened[opened.length - 1].session, feeds, model.name);
    }
    if (env.times === false) {
      const untimed = { latency: null, ratio: null, ci95: null };
      return models.map(({ name, bytes }) => ({ file: name, bytes, ...untimed }));
    }
    const budgetMs = secondsEach * 1000 * models.length;
    const timings = await timeSessions(opened, env, budgetMs, {
      varies: models.some(({ model }) => decides(model)),
      onProgress: (done, total) => env.onEvent({ type: "progress", what: "bench", done, total }),
    });
    return timings.map(({ latency, ratio }, i) => ({
      file: models[i].name,
      bytes: models[i].bytes,
      latency: { ...latency, runtime: runtime.name, threads, batch: batchOf(feeds) },
      ratio: i === 0 ? null : ratio.value,
      ci95: i === 0 || !ratio.ci95 ? null : ratio.ci95,
    }));
  } finally {
    for (const { session } of opened) await session.close();
  }
}

/** Runs a model once, so that unsuitable feeds are reported before any timing. */
async function tryFeeds(session: Session, feeds: Feeds, name: string): Promise<void> {
  try {
    await session.run(feeds);
  } catch (cause) {
    if (!(cause instanceof TersorError)) throw cause;
    const why = `does not take the first model's inputs (${cause.where}: ${cause.what})`;
    throw fail(errors.badFeeds(name, why, "Bench models with the same inputs"), cause);
  }
}
