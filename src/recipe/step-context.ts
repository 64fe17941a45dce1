/** @file Makes the Context of a recipe's step: what a method may use, bound to an Environment. */
import type { Context, Run, Speedup, Trained } from "../context.ts";
import type { Node } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import type { Timing } from "../measure/latency.ts";
import type { GroupChange, Skip } from "../measure/measurement.ts";
import { createRandom } from "../numeric/random.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { trainOptions } from "../train/options.ts";
import { checkpoint, type Environment, isOfTarget } from "./environment.ts";
import { createObserve } from "./observe.ts";
import { formatRecipe, type Step } from "./steps.ts";
import { timeNodes } from "./time-nodes.ts";
import { type Opened, openTimed, timeSessions } from "./time-sessions.ts";
import { trainModel } from "./train.ts";

/** Wall time, in ms, for each comparison of speeds that a method asks for (`Context.time`). */
const TIMING_MS = 1500;

/** The result of one run of training, and the step it belongs to. */
export interface TrainingRun extends Trained {
  /** The recipe's step as text: `train:epochs=3`. */
  readonly step: string;
  /** Of a training step over one of the model that the recipe starts from; null: not timed. */
  readonly speedup: Speedup | null;
}

/** What a step reports about its work. The notes of a step that is rolled back are dropped. */
export interface Notes {
  readonly skipped: Skip[];
  readonly groups: GroupChange[];
  readonly warnings: string[];
  /** Runs of training, in order. */
  readonly training: TrainingRun[];
  /** Whether the step read calibration records. */
  usedData: boolean;
}

export const createNotes = (): Notes => ({
  skipped: [],
  groups: [],
  warnings: [],
  training: [],
  usedData: false,
});

/** Adds the notes of a step that was kept to those of the recipe. */
export function addNotes(
  all: Notes,
  { skipped, groups, warnings, training, usedData }: Notes,
): void {
  all.skipped.push(...skipped);
  all.groups.push(...groups);
  all.warnings.push(...warnings);
  all.training.push(...training);
  all.usedData ||= usedData;
}

/**
 * The context for `step`. `index` is its position in the recipe, counted from 0; the step's random
 * numbers and checkpoints depend on it. `original` is the model that the recipe starts from, the
 * teacher of a distillation loss where the user named none. Reports are added to `notes`.
 */
export function createContext(
  step: Step,
  index: number,
  original: Model,
  env: Environment,
  notes: Notes,
): Context {
  const { id: method } = step;
  let runs = 0;
  return {
    random: createRandom(env.seed).fork(`${index}/${method}`),
    signal: env.signal,
    original,
    target: env.target,
    skip: (node, reason) => notes.skipped.push({ node, method, reason }),
    group: (node, before, after, reason) =>
      notes.groups.push({ method, node, before, after, reason }),
    warn: (text) => notes.warnings.push(`${method}: ${text}`),
    note: (text) => env.onEvent({ type: "note", text: `${method}: ${text}` }),
    async progress(done, total) {
      env.onEvent({ type: "progress", what: method, done, total });
      await checkpoint(env, method);
    },
    hasCalibration: env.calibration !== null,
    observe: createObserve(
      env,
      () => {
        notes.usedData = true;
      },
      method,
      (text) => notes.warnings.push(`${method}: ${text}`),
    ),
    run: createRun(env, method),
    read: (path) => env.platform.files.read(path),
    ...(isOfTarget(env) && clockOf(env)),
    async train(model, options, hooks = {}) {
      // A step may train several times; each run needs a checkpoint name of its own: "2 train",
      // "2.2 train" ...
      const label = `${index + 1}${runs++ > 0 ? `.${runs}` : ""} ${method}`;
      const parsed = trainOptions.parse(options);
      const run = await trainModel(model, parsed, hooks, env, { label, original });
      if (run.stopped !== null) notes.warnings.push(`${method}: ${run.stopped}`);
      if (run.steps > 0) notes.training.push({ step: formatRecipe([step]), ...run });
      return run;
    },
  };
}

/** Makes `context.run` for one step, whose name is `where`. */
export function createRun(env: Environment, where: string): Run {
  return async (model, batches) => {
    const bytes = concat(writeModel(model));
    const session = await env.runtime.open({ bytes }, { threads: env.threads });
    const outputs: Readonly<Record<string, Tensor>>[] = [];
    try {
      for (const feeds of batches) {
        await checkpoint(env, where);
        outputs.push(await session.run(feeds));
      }
    } finally {
      await session.close();
    }
    return outputs;
  };
}

/** The clocks of a context. */
const clockOf = (env: Environment): Required<Pick<Context, "time" | "compare" | "timeNodes">> => ({
  async time(models) {
    return (await timeModels(models, env)).map(({ latency }) => latency.median);
  },
  async compare(before, after) {
    const [, { ratio }] = await timeModels([before, after], env);
    return ratio;
  },
  async timeNodes(model) {
    const times = await timeNodes(model, env);
    const sums = new Map<Node, number>();
    for (const { node, us } of times ?? []) if (node) sums.set(node, (sums.get(node) ?? 0) + us);
    return times && sums;
  },
});

/** Times the models in turn on `env.feeds`. */
async function timeModels(models: readonly Model[], env: Environment): Promise<Timing[]> {
  const opened: Opened[] = [];
  try {
    for (const model of models) {
      opened.push(await openTimed({ bytes: concat(writeModel(model)) }, env));
    }
    return await timeSessions(opened, env, TIMING_MS);
  } finally {
    for (const { session } of opened) await session.close();
  }
}
