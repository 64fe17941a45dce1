/** @file Workers: threads with one engine each, which run the same training step in parallel. */
import type { EngineWorker } from "../platform.ts";
import type { Session, SessionOptions, Source } from "../runtime/runtime.ts";
import type { Environment } from "./environment.ts";

/** The engines of a training run. */
export interface Workers {
  /** How many engines run in parallel, at least 1. */
  readonly lanes: number;
  /** Opens the same model in each engine; the sessions are in the order of the lanes. */
  open(source: Source, options?: SessionOptions): Promise<Session[]>;
  /** Ends the threads and closes the sessions. */
  stop(): Promise<void>;
}

/**
 * "workers": an engine per core, with one thread each; "threads": one engine that uses all cores.
 */
export type WorkerShape = "workers" | "threads";

/**
 * Starts the engines of a training run; `env.trainThreads` is the number of cores. "workers" is
 * usually faster except for very small batches: gradients of convolutions spend much time in
 * kernels (Slice, Pad, Concat) that use one thread. Where the platform has no worker threads, both
 * shapes are one engine in this thread.
 */
export function startWorkers(
  { platform, runtime, trainThreads }: Environment,
  shape: WorkerShape,
): Workers {
  const workers: EngineWorker[] = [];
  if (shape === "workers" && trainThreads > 1) {
    for (let i = 0; i < trainThreads; i++) {
      const worker = platform.startWorker?.(runtime);
      if (worker) workers.push(worker);
    }
  }
  const alone = workers.length === 0;
  const engines = alone ? [runtime] : workers.map((worker) => worker.runtime);
  const threads = alone ? trainThreads : 1;
  /** Sessions of this thread's engine. (A worker's sessions are closed when its thread ends.) */
  const opened: Session[] = [];
  return {
    lanes: engines.length,
    open: (source, options) =>
      Promise.all(
        engines.map(async (engine) => {
          const session = await engine.open(source, { threads, ...options });
          if (alone) opened.push(session);
          return session;
        }),
      ),
    async stop() {
      await Promise.all(workers.map((worker) => worker.stop()));
      for (const session of opened.splice(0)) await session.close();
    },
  };
}
