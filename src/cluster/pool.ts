/** @file A pool of worker processes on this machine, each with the model and the data open. */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type ErrorInfo, errors, fail, TersorError } from "../errors.ts";
import type { Event } from "../recipe/environment.ts";
import type { Failed, Tried } from "../recipe/runner.ts";
import type { ScreenPlan, Seen } from "../recipe/search/screen.ts";
import { createTurns } from "../util/turns.ts";
import { type Brief, type LocalFiles, localFiles, type PlainSettings } from "./brief.ts";

/** Where the checkpoints of trainings lie, see `fileCheckpoints`. */
export interface CheckpointFiles {
  readonly output: string;
  readonly resume: boolean;
}

export type Request =
  | {
      readonly type: "prepare";
      readonly model: LocalFiles;
      readonly teacher: LocalFiles | null;
      readonly settings: PlainSettings;
      readonly checkpoints: CheckpointFiles | null;
    }
  | { readonly type: "run"; readonly text: string }
  | { readonly type: "screen"; readonly text: string; readonly plan: ScreenPlan };

export type Reply =
  | { readonly type: "ready" }
  | { readonly type: "tried"; readonly tried: Tried | Failed }
  | { readonly type: "seen"; readonly seen: Seen | Failed }
  | { readonly type: "failed"; readonly error: ErrorInfo | { readonly message: string } }
  | { readonly type: "event"; readonly event: Event };

/** One recipe, with what a process has to be prepared for. */
export interface Task {
  readonly brief: Brief;
  readonly checkpoints: CheckpointFiles | null;
  /** The recipe. */
  readonly text: string;
  readonly onEvent?: ((event: Event) => void) | undefined;
}

export interface Pool {
  /**
   * Runs a task in a free process, as soon as there is one. Where the process dies, it is replaced and
   * the task goes to another; the second death fails the task. Throws TersorError "run-failed" if
   * processes die before they begin, and "aborted" once the pool was stopped.
   */
  run(task: Task): Promise<Tried | Failed>;
  /** Screens a recipe in the same way. */
  screen(task: Task, plan: ScreenPlan): Promise<Seen | Failed>;
  /** Does work while the processes of the pool stand still. One call at a time. */
  alone<T>(work: () => Promise<T>): Promise<T>;
  /** Kills all processes. */
  stop(): void;
  /** The processes that are alive. */
  readonly pids: readonly number[];
}

/** How a process ended, in words. */
class Died extends Error {}

/** A process that can be stopped by a signal goes on where it was; Windows has no such signal. */
const canPause = process.platform !== "win32";

/** How often a process is started anew that dies before it is ready. */
const STARTS = 2;
/** How many processes a task may end. */
const DEATHS = 2;

/** A pool of at most `lanes` processes, which are started when they are needed. */
export function createPool(lanes: number): Pool {
  const free: Worker[] = Array.from({ length: lanes }, () => new Worker());
  const workers = [...free];
  const waiting: ((worker: Worker) => void)[] = [];
  const inTurn = createTurns();
  let isStopped = false;
  /** Pending while the machine belongs to `alone`. */
  let paused: Promise<unknown> = Promise.resolve();
  const taken = (): Promise<Worker> | Worker =>
    free.pop() ?? new Promise<Worker>((resolve) => waiting.push(resolve));
  const give = (worker: Worker): void => {
    const next = waiting.shift();
    if (next) next(worker);
    else free.push(worker);
  };
  const checkStopped = (): void => {
    if (isStopped) throw fail(errors.aborted("workers"));
  };
  const ready = async (worker: Worker, task: Task): Promise<void> => {
    for (let starts = 1; ; starts++) {
      await paused;
      checkStopped();
      try {
        return await worker.prepare(task);
      } catch (cause) {
        checkStopped();
        if (!(cause instanceof Died)) throw cause;
        if (starts < STARTS) continue;
        const remedy = "Try with fewer --jobs, which takes less memory";
        throw fail(errors.runFailed("worker process", cause.message, remedy), cause);
      }
    }
  };
  const inFree = async <T>(
    task: Task,
    work: (worker: Worker) => Promise<T>,
  ): Promise<T | Failed> => {
    for (let deaths = 1; ; deaths++) {
      const worker = await taken();
      try {
        await ready(worker, task);
        await paused;
        return await work(worker);
      } catch (cause) {
        checkStopped();
        if (!(cause instanceof Died)) throw cause;
        if (deaths === DEATHS) return { reason: cause.message, isMistake: false };
      } finally {
        give(worker);
      }
    }
  };
  return {
    run: (task) => inFree(task, (worker) => worker.run(task)),
    screen: (task, plan) => inFree(task, (worker) => worker.screen(task, plan)),
    alone: (work) =>
      inTurn(async () => {
        let go = (): void => {};
        const before = paused;
        paused = new Promise<void>((resolve) => {
          go = resolve;
        });
        await before;
        try {
          if (canPause) for (const worker of workers) worker.signal("SIGSTOP");
          else await Promise.all(workers.map((worker) => worker.idle()));
          return await work();
        } finally {
          if (canPause) for (const worker of workers) worker.signal("SIGCONT");
          go();
        }
      }),
    stop() {
      isStopped = true;
      for (const worker of workers) worker.signal("SIGKILL");
    },
    get pids() {
      return workers.flatMap(({ pid }) => pid ?? []);
    },
  };
}

/** A process, its start included; where it has died, the next request starts another. */
class Worker {
  #child: ChildProcess | null = null;
  /** The brief that the process is prepared for. */
  #key: string | null = null;
  /** The request that it is working on; never rejects. */
  #last: Promise<unknown> = Promise.resolve();

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  async idle(): Promise<void> {
    await this.#last;
  }

  async prepare({ brief, checkpoints, onEvent }: Task): Promise<void> {
    if (this.#child && this.#key === brief.key) return;
    this.#key = null;
    const { settings, teacher } = brief;
    const models = { model: localFiles(brief.model), teacher: teacher && localFiles(teacher) };
    await this.#ask({ type: "prepare", settings, ...models, checkpoints }, onEvent);
    this.#key = brief.key;
  }

  async run({ text, onEvent }: Task): Promise<Tried | Failed> {
    const reply = await this.#ask({ type: "run", text }, onEvent);
    if (reply.type !== "tried") throw new Error(`a worker answered "${reply.type}"`);
    return reply.tried;
  }

  async screen({ text, onEvent }: Task, plan: ScreenPlan): Promise<Seen | Failed> {
    const reply = await this.#ask({ type: "screen", text, plan }, onEvent);
    if (reply.type !== "seen") throw new Error(`a worker answered "${reply.type}"`);
    return reply.seen;
  }

  #ask(request: Request, onEvent: Task["onEvent"]): Promise<Reply> {
    const child = this.#child ?? this.#start();
    const asked = new Promise<Reply>((resolve, reject) => {
      const done = (): void => {
        child.off("message", hear);
        child.off("close", lost);
      };
      const hear = (reply: Reply): void => {
        if (reply.type === "event") onEvent?.(reply.event);
        else {
          done();
          if (reply.type === "failed") reject(errorOf(reply.error));
          else resolve(reply);
        }
      };
      const lost = (status: number | null, signal: string | null): void => {
        done();
        reject(new Died(deathOf(status, signal, wordsOf(child))));
      };
      child.on("message", hear);
      child.on("close", lost);
      child.send(request, () => {}); // where it cannot be sent, the process is gone
    });
    this.#last = asked.catch(() => {});
    return asked;
  }

  #start(): ChildProcess {
    const child = startProcess();
    this.#child = child;
    child.on("close", () => {
      this.#child = null;
      this.#key = null;
    });
    child.on("error", () => {}); // one that cannot be started says so on "exit" or never begins
    return child;
  }
}

const errorOf = (error: Extract<Reply, { type: "failed" }>["error"]): Error =>
  "code" in error ? new TersorError(error) : new Error(error.message);

/** The last text that processes wrote to stderr. */
const words = new WeakMap<ChildProcess, string>();
const wordsOf = (child: ChildProcess): string =>
  words.get(child)?.trim().split("\n").at(-1)?.trim().slice(0, 200) ?? "";

/**
 * Forks the script of a worker. When tersor runs from its TypeScript sources (tests, scripts), the
 * process first loads tsx, without which it could not import them.
 */
function startProcess(): ChildProcess {
  const isSource = import.meta.url.endsWith(".ts");
  const script = new URL(`./trial-worker.${isSource ? "ts" : "js"}`, import.meta.url);
  const tsx = isSource ? createRequire(import.meta.url).resolve("tsx") : "";
  const child = fork(fileURLToPath(script), [], {
    execArgv: isSource ? ["--import", pathToFileURL(tsx).href] : [],
    serialization: "advanced",
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  child.stderr?.on("data", (text: Buffer) => {
    words.set(child, `${words.get(child) ?? ""}${text}`.slice(-2000));
  });
  if (canPause && child.pid !== undefined) watch(child, child.pid);
  return child;
}

/**
 * Kills the process when this one ends, however that happens: one that stands still, or computes for
 * minutes, would not notice. A shell waits for the end of a pipe whose other end is open here.
 */
function watch(child: ChildProcess, pid: number): void {
  const guard = spawn("/bin/sh", ["-c", `read x; kill -KILL ${pid}`], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true, // Ctrl-C does not end it
  });
  guard.on("error", () => {});
  guard.unref();
  (guard.stdin as unknown as { unref(): void } | null)?.unref();
  child.on("exit", () => guard.kill("SIGKILL"));
}

/** Why there is no result of a process that has died, as a sentence. */
function deathOf(status: number | null, signal: string | null, said: string): string {
  const how = signal ? `was ended by ${signal}` : `ended with status ${status}`;
  const known: Readonly<Record<string, string>> = {
    SIGKILL: "too little memory, or someone killed it",
    SIGABRT: "a fault of the engine, or too little memory",
    SIGSEGV: "a fault of the engine",
  };
  const why = said || (signal && known[signal]);
  return `its process ${how}${why ? ` (${why})` : ""}`;
}
