/** @file An engine in a worker thread: a Runtime whose sessions do not block this thread. */
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { type ErrorInfo, errors, fail, TersorError } from "../errors.ts";
import type { DType } from "../ir/dtype.ts";
import { rawTensor, type Tensor } from "../ir/tensor.ts";
import type { EngineWorker } from "../platform.ts";
import type { Port, SessionOptions, Source } from "../runtime/runtime.ts";

/** A tensor as it is sent between threads. */
export interface Parcel {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** A message to the worker. The id of an "open" request is later the number of its session. */
export type Request = { readonly id: number } & (
  | { readonly type: "open"; readonly source: Source; readonly options: SessionOptions }
  | {
      readonly type: "run";
      readonly session: number;
      readonly feeds: [string, Parcel][];
      readonly fetch: readonly string[] | null;
    }
  | { readonly type: "close"; readonly session: number }
);

/** A request without its id. */
type Ask = Request extends infer R ? (R extends Request ? Omit<R, "id"> : never) : never;

/** The worker's answer to the request with the same id. */
export interface Reply {
  readonly id: number;
  readonly inputs?: readonly Port[];
  readonly outputs?: readonly Port[];
  readonly results?: [string, Parcel][];
  readonly error?: ErrorInfo | { readonly message: string };
}

/**
 * Starts a thread with an engine of its own. If the thread ends unexpectedly, all waiting calls
 * reject with TersorError "run-failed". An idle thread does not keep the process alive.
 */
export function startEngineWorker(): EngineWorker {
  const worker = startThread();
  const waiting = new Map<number, { done(reply: Reply): void; fail(error: unknown): void }>();
  let next = 1;
  worker.on("message", (reply: Reply) => {
    const asker = waiting.get(reply.id);
    waiting.delete(reply.id);
    if (!asker) return;
    if (reply.error) asker.fail(errorOf(reply.error));
    else asker.done(reply);
  });
  const lost = (cause: unknown): void => {
    const words = cause instanceof Error ? cause.message : `exit status ${cause}`;
    const error = fail(
      errors.runFailed("worker thread", `it ended (${words})`, "Try with fewer --threads"),
      cause,
    );
    for (const asker of waiting.values()) asker.fail(error);
    waiting.clear();
  };
  worker.on("error", lost);
  worker.on("exit", lost);
  worker.unref();

  const ask = (request: Ask, moved: ArrayBuffer[] = []): Promise<Reply> =>
    new Promise((done, failed) => {
      const id = next++;
      worker.ref(); // keep the process alive while a call waits for its answer
      const settle = <T>(then: (value: T) => void) => {
        return (value: T) => {
          if (waiting.size === 0) worker.unref();
          then(value);
        };
      };
      waiting.set(id, { done: settle(done), fail: settle(failed) });
      worker.postMessage({ ...request, id }, moved);
    });

  return {
    runtime: {
      async open(source, options = {}) {
        const { id, inputs = [], outputs = [] } = await ask({ type: "open", source, options });
        return {
          inputs,
          outputs,
          async run(feeds, fetch) {
            const parcels = Object.entries(feeds).map(packOwn);
            const moved = parcels.map(([, { bytes }]) => bytes.buffer as ArrayBuffer);
            const request = { type: "run", session: id, feeds: parcels, fetch: fetch ?? null };
            const { results = [] } = await ask(request as Ask, moved);
            return Object.fromEntries(results.map(unpack));
          },
          async close() {
            await ask({ type: "close", session: id });
          },
        };
      },
    },
    async stop() {
      worker.off("exit", lost);
      await worker.terminate();
    },
  };
}

/**
 * Starts the thread's script. When tersor runs from its TypeScript sources (tests, scripts), the
 * thread first loads tsx, without which it could not import them.
 */
function startThread(): Worker {
  if (!import.meta.url.endsWith(".ts")) {
    return new Worker(new URL("./session-worker.js", import.meta.url));
  }
  const tsx = createRequire(import.meta.url).resolve("tsx/package.json");
  const loader = new URL("./dist/esm/api/index.mjs", pathToFileURL(tsx)).href;
  const script = new URL("./session-worker.ts", import.meta.url).href;
  const start = `import("${loader}").then((tsx) => (tsx.register(), import("${script}")))`;
  return new Worker(start, { eval: true });
}

/** A tensor with a copy of its bytes, because the buffer is moved to the other thread. */
function packOwn([name, value]: [string, Tensor]): [string, Parcel] {
  return [name, { dtype: value.dtype, shape: value.shape, bytes: new Uint8Array(value.bytes()) }];
}

function unpack([name, { dtype, shape, bytes }]: [string, Parcel]): [string, Tensor] {
  return [name, rawTensor(dtype, shape, bytes)];
}

function errorOf(error: NonNullable<Reply["error"]>): Error {
  return "code" in error ? new TersorError(error) : new Error(error.message);
}
