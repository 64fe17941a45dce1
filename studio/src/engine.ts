/** @file The page's side of the worker: calls, abort, and a new worker where the old one is stuck. */
import type { ErrorInfo, Event } from "tersor";
import type { CallName, Calls, FromWorker, OpenInput, ToWorker, Trial } from "./protocol.ts";

/** What a caller wants to hear meanwhile. */
export interface Listener {
  onEvent?(event: Event): void;
  onTrial?(trial: Trial): void;
}

/** What a caller may want besides. */
interface Caller extends Listener {
  /** Stops the call. */
  readonly signal?: AbortSignal;
  /** Ends runs of training early; the call goes on. */
  readonly finish?: AbortSignal;
}

/** An error as the library states it: what, where, remedy. */
export class Problem extends Error {
  readonly info: ErrorInfo;
  constructor(info: ErrorInfo) {
    super(info.what);
    this.info = info;
  }
}

interface Waiting extends Listener {
  resolve(result: unknown): void;
  reject(problem: Problem): void;
}

/** How long a worker may take to obey an abort, ms, before it is replaced by a new one. */
const patience = 1500;

const waiting = new Map<number, Waiting>();
let worker: Worker | null = null;
let last = 0;
/** What a new worker has to open before it can go on; data files are added to it. */
let opened: { readonly files: Map<string, Uint8Array>; readonly model: string } | null = null;

/** Asks the worker. Rejects with a Problem. */
export async function call<K extends CallName>(
  name: K,
  input: Calls[K][0],
  listener: Caller = {},
): Promise<Calls[K][1]> {
  if (!worker && opened && name !== "open") await ask("open", opened, {});
  const result = await ask(name, input, listener);
  if (name === "open") {
    const { files, model } = input as OpenInput;
    opened = { files: new Map(files), model };
  }
  if (name === "addData") {
    const file = input as Calls["addData"][0];
    opened?.files.set(file.name, file.bytes);
  }
  return result as Calls[K][1];
}

function ask(call: CallName, input: unknown, listener: Caller): Promise<unknown> {
  worker ??= start();
  const id = ++last;
  const message: ToWorker = { id, call, input };
  const done = new Promise((resolve, reject) => {
    waiting.set(id, { ...listener, resolve, reject });
  });
  worker.postMessage(message);
  listener.signal?.addEventListener("abort", () => stop(id), { once: true });
  const finish = () =>
    waiting.has(id) && worker?.postMessage({ id, finish: true } satisfies ToWorker);
  listener.finish?.addEventListener("abort", finish, { once: true });
  return done;
}

function start(): Worker {
  const started = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  started.addEventListener("message", ({ data }: MessageEvent<FromWorker>) => {
    const caller = waiting.get(data.id);
    if (!caller) return;
    if ("event" in data) return caller.onEvent?.(data.event);
    if ("trial" in data) return caller.onTrial?.(data.trial);
    waiting.delete(data.id);
    if ("error" in data) caller.reject(new Problem(data.error));
    else caller.resolve(data.result);
  });
  started.addEventListener("error", (event) => {
    event.preventDefault();
    replace({
      code: "internal",
      where: "worker",
      what: event.message || "the worker could not go on",
      remedy: "Reload the page; a large model may need more memory than a page gets",
    });
  });
  return started;
}

/** Asks the worker to abort a call; it does so between the parts of its work, or is replaced. */
function stop(id: number): void {
  if (!waiting.has(id)) return;
  worker?.postMessage({ id, abort: true } satisfies ToWorker);
  const aborted = { code: "aborted", where: "studio", what: "was stopped", remedy: "Run it again" };
  setTimeout(() => waiting.has(id) && replace(aborted), patience);
}

/** Ends the worker and all calls; the next call starts another one. */
function replace(info: ErrorInfo): void {
  worker?.terminate();
  worker = null;
  for (const { reject } of waiting.values()) reject(new Problem(info));
  waiting.clear();
}
