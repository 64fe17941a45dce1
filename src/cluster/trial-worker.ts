/** @file The script of a worker process: applies recipes for pool.ts, driven by messages. */
import { TersorError } from "../errors.ts";
import { fileCheckpoints } from "../node/checkpoints.ts";
import { nodePlatform } from "../node/platform.ts";
import { assessBaseline } from "../recipe/assess.ts";
import type { Environment, Event } from "../recipe/environment.ts";
import { loadModel, loadSource } from "../recipe/load.ts";
import { prepare } from "../recipe/prepare.ts";
import { localRunner, type Runner } from "../recipe/runner.ts";
import { parseRecipe } from "../recipe/steps.ts";
import { simplify } from "../recipe/trial.ts";
import type { LocalFiles } from "./brief.ts";
import type { Reply, Request } from "./pool.ts";

/** What is open for the brief that came last. */
interface Opened {
  readonly runner: Runner;
  close(): Promise<void>;
}

let opened: Opened | null = null;

/** Loads the models and the data, and judges the original, with whose outputs others are compared. */
async function open({
  model,
  teacher,
  settings,
  checkpoints,
}: Extract<Request, { type: "prepare" }>) {
  const load = ({ name, source }: LocalFiles) =>
    source ? loadSource(source, name) : loadModel(name, nodePlatform);
  const loaded = await load(model);
  const found = await prepare(loaded, nodePlatform, {
    ...settings,
    teacher: teacher && (await load(teacher)),
    checkpoints: checkpoints && fileCheckpoints(checkpoints.output, checkpoints.resume),
  });
  // Other work runs at the same time, so nothing is timed here.
  const onEvent = (event: Event): void => {
    if (event.type !== "progress") send({ type: "event", event });
  };
  const env: Environment = { ...found, times: false, timesTraining: false };
  const start = simplify(loaded.model);
  const baseline = await assessBaseline(loaded, env);
  const runner = await localRunner(baseline, start, { ...env, onEvent });
  return { runner, close: () => baseline.close() };
}

async function answer(request: Request): Promise<Reply> {
  if (request.type === "prepare") {
    await opened?.close();
    opened = null;
    opened = await open(request);
    return { type: "ready" };
  }
  if (!opened) throw new Error("there is a recipe before the model");
  const steps = parseRecipe(request.text);
  if (request.type === "run") return { type: "tried", tried: await opened.runner.run(steps) };
  return { type: "seen", seen: await opened.runner.screen(steps, request.plan) };
}

function send(reply: Reply): void {
  process.send?.(reply);
}

process.on("message", async (request: Request) => {
  try {
    send(await answer(request));
  } catch (cause) {
    const { code, what, where, remedy } = cause as TersorError;
    const error =
      cause instanceof TersorError ? { code, what, where, remedy } : { message: String(cause) };
    send({ type: "failed", error });
  }
});
// Ctrl-C reaches every process of the terminal. The parent decides what ends, and when.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => {});
process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
