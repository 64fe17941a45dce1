/** @file Runs a recipe step by step; what breaks the model or makes the file larger is rolled back. */

import type { Context, Trained } from "../context.ts";
import { TersorError } from "../errors.ts";
import type { Node } from "../ir/graph.ts";
import { cloneModel, type Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import { verify } from "../ir/verify.ts";
import { measureLatency } from "../measure/latency.ts";
import type { GroupChange, Skip } from "../measure/measurement.ts";
import { createRandom } from "../numeric/random.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { inferModel } from "../ops/infer.ts";
import { rewrite } from "../rewrite/index.ts";
import type { Session } from "../runtime/runtime.ts";
import { trainOptions } from "../train/options.ts";
import { checkpoint, type Environment } from "./environment.ts";
import { checkNeeds } from "./needs.ts";
import { createObserve } from "./observe.ts";
import { formatRecipe, isTraining, type Step } from "./steps.ts";
import { timeNodes } from "./time-nodes.ts";
import { trainModel } from "./train.ts";

/** Spent on each comparison of speeds that a method asks for. */
const TIMING_MS = 1500;
/** What buys speed may cost so much of the original file. */
const ROOM = 1.01;

/** A run of training: how the loss went, and how it computed. */
export interface TrainingRun extends Trained {
  /** The step it belongs to, as text. */
  readonly step: string;
}

/** A recipe's product. */
export interface Outcome {
  readonly model: Model;
  /** The file's bytes. */
  readonly bytes: Uint8Array;
  /** False for a step that was rolled back; the warnings say why. */
  readonly kept: readonly boolean[];
  readonly skipped: readonly Skip[];
  readonly groups: readonly GroupChange[];
  readonly warnings: readonly string[];
  /** Whether calibration records were looked at. */
  readonly usedData: boolean;
  /** Runs of training, in order. */
  readonly training: readonly TrainingRun[];
  readonly seconds: number;
}

/**
 * `start` is left as it is. Throws TersorError "needs-data", "needs-training" or "needs-labels" before
 * any work, "aborted", and whatever the options raise.
 */
export async function applyRecipe(
  start: Model,
  steps: readonly Step[],
  env: Environment,
): Promise<Outcome> {
  checkNeeds(steps, env);
  const began = env.platform.wallMs();
  const skipped: Skip[] = [];
  const groups: GroupChange[] = [];
  const warnings: string[] = [];
  const kept: boolean[] = [];
  let usedData = false;
  const training: TrainingRun[] = [];
  let model = start;
  let bytes = concat(writeModel(model));
  const whole = bytes.byteLength;
  let original: Awaited<ReturnType<typeof outputsOf>> | null = null;
  const lastTraining = steps.findLastIndex(isTraining);
  for (const [i, step] of steps.entries()) {
    const { id, method } = step;
    await checkpoint(env, id);
    const candidate = cloneModel(model);
    inferModel(candidate);
    const context = createContext(step, i, start, env, {
      skipped,
      groups,
      warnings,
      training,
      onUse: () => {
        usedData = true;
      },
    });
    await method.apply(candidate, step.options, context);
    rewrite(candidate, i === lastTraining ? {} : { rules: ["drop-dead", "share-constants"] });
    const written = concat(writeModel(candidate));
    const most = method.quickens ? Math.max(ROOM * whole, bytes.byteLength) : bytes.byteLength;
    // A layer may gain a bias in training: hours of it are not lost for that.
    const limit = isTraining(step) ? Number.POSITIVE_INFINITY : most;
    let why = refusal(candidate, written.byteLength, bytes.byteLength, limit);
    if (why === null) {
      original ??= await outputsOf(bytes, env);
      why = difference(original, await outputsOf(written, env));
    }
    kept.push(why === null);
    if (why === null) {
      model = candidate;
      bytes = written;
    } else warnings.push(`${formatRecipe([step])} was rolled back: ${why}`);
  }
  const seconds = (env.platform.wallMs() - began) / 1000;
  return { model, bytes, kept, skipped, groups, warnings, usedData, training, seconds };
}

function createContext(
  step: Step,
  index: number,
  original: Model,
  env: Environment,
  notes: {
    readonly skipped: Skip[];
    readonly groups: GroupChange[];
    readonly warnings: string[];
    readonly training: TrainingRun[];
    readonly onUse: () => void;
  },
): Context {
  const { skipped, groups, warnings, training, onUse } = notes;
  const { id: method } = step;
  let runs = 0;
  return {
    random: createRandom(env.seed).fork(`${index}/${method}`),
    signal: env.signal,
    target: env.runtime.name === "web" ? "web" : "node",
    skip: (node, reason) => skipped.push({ node, method, reason }),
    group: (node, before, after, reason) => groups.push({ method, node, before, after, reason }),
    warn: (text) => warnings.push(`${method}: ${text}`),
    async progress(done, total) {
      env.onEvent({ type: "progress", what: method, done, total });
      await checkpoint(env, method);
    },
    hasCalibration: env.calibration !== null,
    observe: createObserve(env, onUse, method),
    time: (models) => timeModels(models, env),
    async timeNodes(model) {
      const times = await timeNodes(model, env);
      const sums = new Map<Node, number>();
      for (const { node, us } of times ?? []) if (node) sums.set(node, (sums.get(node) ?? 0) + us);
      return times && sums;
    },
    async train(model, options, hooks = {}) {
      // A step may train several times: checkpoints are told apart by name.
      const label = `${index + 1}${runs++ > 0 ? `.${runs}` : ""} ${method}`;
      const parsed = trainOptions.parse(options);
      const run = await trainModel(model, parsed, hooks, env, { label, original });
      if (run.steps > 0) training.push({ step: formatRecipe([step]), ...run });
      return run;
    },
  };
}

/** Medians of interleaved runs, by CPU time where there is such a clock. */
async function timeModels(models: readonly Model[], env: Environment): Promise<number[]> {
  const { runtime, threads, platform, signal } = env;
  const sessions: Session[] = [];
  try {
    for (const model of models) {
      sessions.push(await runtime.open({ bytes: concat(writeModel(model)) }, { threads }));
    }
    const candidates = sessions.map((session, i) => ({
      name: String(i),
      run: () => session.run(env.feeds),
    }));
    const options = { platform, budgetMs: TIMING_MS, signal: signal ?? undefined };
    const timings = await measureLatency(candidates, options);
    // Paired by round: what disturbs one disturbs both.
    const [{ latency }] = timings;
    const first = latency.cpu ?? latency.median;
    return timings.map(({ ratio, cpuRatio }) => first / (cpuRatio ?? ratio).value);
  } finally {
    for (const session of sessions) await session.close();
  }
}

function refusal(model: Model, bytes: number, before: number, limit: number): string | null {
  const [problem] = verify(model);
  if (problem) return problem;
  return bytes > limit ? `it made the file larger (${before} -> ${bytes} bytes)` : null;
}

/** Outputs of a file; the engine's words where it does not open or run. */
async function outputsOf(
  bytes: Uint8Array,
  env: Environment,
): Promise<Record<string, Tensor> | string> {
  try {
    const session = await env.runtime.open({ bytes }, { threads: env.threads });
    try {
      return await session.run(env.feeds);
    } finally {
      await session.close();
    }
  } catch (cause) {
    if (cause instanceof TersorError) return cause.what;
    throw cause;
  }
}

/** Null when the outputs have the original's names and shapes, and are finite where those are. */
function difference(
  original: Record<string, Tensor> | string,
  outputs: Record<string, Tensor> | string,
): string | null {
  if (typeof outputs === "string") return outputs;
  if (typeof original === "string") return null;
  for (const [name, expected] of Object.entries(original)) {
    const got = outputs[name];
    if (!got) return `its output ${name} is gone`;
    if (got.dtype !== expected.dtype || got.shape.join() !== expected.shape.join()) {
      return `its output ${name} is ${describe(got)} instead of ${describe(expected)}`;
    }
    if (!hasOnlyFinite(got) && hasOnlyFinite(expected)) return `its output ${name} is not finite`;
  }
  return null;
}

function describe({ dtype, shape }: Tensor): string {
  return `${dtype}[${shape}]`;
}

function hasOnlyFinite(value: Tensor): boolean {
  return !value.dtype.includes("float") || value.floats().every(Number.isFinite);
}
