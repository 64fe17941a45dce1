/** @file Does the trials of a queue in processes of this machine, until it is told to stop. */
import { mkdtempSync, rmSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { nodePlatform } from "../node/platform.ts";
import type { Brief } from "./brief.ts";
import { receive } from "./parcel.ts";
import { createPool } from "./pool.ts";
import { connect, type Posted, queueName } from "./redis.ts";
import { type Answer, putResult } from "./results.ts";
import { openStore } from "./store.ts";

export interface ServeOptions {
  /** The server: redis://host:port. */
  readonly url: string;
  /** See `openStore`; the place is that of the survey, as this machine reaches it. */
  readonly store?: string | undefined;
  /** How many trials at a time (default 1). */
  readonly jobs?: number | undefined;
  readonly runtime?: "auto" | "node" | "web" | undefined;
  /** A worker that is silent for so many seconds loses its trials to others (default 30). */
  readonly lockSeconds?: number | undefined;
  /** When it is set, trials that were begun are finished, and no other is taken. */
  readonly signal: AbortSignal;
  /** Called with what happens, in words. */
  readonly onNote?: ((text: string) => void) | undefined;
}

/** A trial that so many workers were lost with is given up. */
const LOSSES = 2;

/**
 * Resolves with the number of trials that it did, after the signal. The processes that compute are
 * others, so that this one can tell the server in time that it is alive. Throws what `connect` and
 * `openStore` throw.
 */
export async function serve(options: ServeOptions): Promise<number> {
  const { url, jobs = 1, lockSeconds = 30, signal, onNote = () => {} } = options;
  const { runtime } = await nodePlatform.runtime(options.runtime ?? "auto");
  const { bullmq, connection } = await connect(url);
  const store = openStore(options.store, url);
  const name = queueName(`onnxruntime-${runtime.name} ${runtime.version}`);
  const folder = mkdtempSync(join(tmpdir(), "tersor-worker-"));
  const pool = createPool(jobs);
  /** The brief that came last: mostly all trials of a survey come one after another. */
  let last: { readonly key: string; readonly brief: Promise<Brief> } | null = null;
  const briefFor = ({ key, parcel }: Posted): Promise<Brief> => {
    if (last?.key !== key) last = { key, brief: receive(store, key, parcel, folder) };
    const own = last;
    own.brief.catch(() => {
      if (last === own) last = null;
    });
    return own.brief;
  };
  let done = 0;
  const worker = new bullmq.Worker<Posted, Answer>(
    name,
    async ({ data }) => {
      const { id, recipe, plan } = data;
      const task = { brief: await briefFor(data), checkpoints: null, text: recipe };
      const found = await (plan ? pool.screen(task, plan) : pool.run(task));
      done++;
      if ("reason" in found) {
        onNote(`${recipe}: ${found.reason}`);
        return found;
      }
      await putResult(store, id, found);
      const { raw } = "sizes" in found ? found.sizes : found.row.bytes;
      onNote(`${recipe}: ${raw} bytes${plan ? ", screened" : ""}`);
      return { host: hostname() };
    },
    {
      ...{ connection, concurrency: jobs, maxStalledCount: LOSSES },
      lockDuration: 1000 * lockSeconds,
      stalledInterval: 1000 * lockSeconds,
    },
  );
  // The connection is made again; a trial that was lost meanwhile is another worker's.
  worker.on("error", (error) => onNote(error.message));
  onNote(`at work on ${name}, files in ${store.name}`);
  try {
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    await worker.close();
  } finally {
    pool.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  return done;
}
