/** @file Workers: threads with one engine each, that run the same graph side by side. */
import type { EngineWorker } from "../platform.ts";
import type { Session, SessionOptions, Source } from "../runtime/runtime.ts";
import type { Environment } from "./environment.ts";

export interface Workers {
  /** How many run side by side. */
  readonly lanes: number;
  /** The same model in every lane. */
  open(source: Source, options?: SessionOptions): Promise<Session[]>;
  /** Ends the threads, and closes what was opened. */
  stop(): Promise<void>;
}

/** Several engines with a thread each, or this thread's engine with all of them. */
export type WorkerShape = "workers" | "threads";

/**
 * Convolutions' gradients spend much of their time in kernels of one thread (ENGINE B4): an engine
 * per core, each with a part of the batch, is the faster shape but for tiny batches.
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
  /** Sessions of this thread's engine; those of a worker end with it. */
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
