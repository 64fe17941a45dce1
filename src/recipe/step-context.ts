/** @file The context of one step of a recipe: what its method asks for, bound to an environment. */
import type { Context, Trained } from "../context.ts";
import type { Node } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { measureLatency } from "../measure/latency.ts";
import type { GroupChange, Skip } from "../measure/measurement.ts";
import { createRandom } from "../numeric/random.ts";
import { concat, writeModel } from "../onnx/write.ts";
import type { Session } from "../runtime/runtime.ts";
import { trainOptions } from "../train/options.ts";
import { checkpoint, type Environment } from "./environment.ts";
import { createObserve } from "./observe.ts";
import { formatRecipe, type Step } from "./steps.ts";
import { timeNodes } from "./time-nodes.ts";
import { trainModel } from "./train.ts";

/** Spent on each comparison of speeds that a method asks for. */
const TIMING_MS = 1500;

/** A run of training: how the loss went, and how it computed. */
export interface TrainingRun extends Trained {
  /** The step it belongs to, as text. */
  readonly step: string;
}

/** What a step tells of its work. Of a step that is rolled back nothing of this is true any more. */
export interface Notes {
  readonly skipped: Skip[];
  readonly groups: GroupChange[];
  readonly warnings: string[];
  /** Runs of training, in order. */
  readonly training: TrainingRun[];
  /** Whether calibration records were looked at. */
  usedData: boolean;
}

export const createNotes = (): Notes => ({
  skipped: [],
  groups: [],
  warnings: [],
  training: [],
  usedData: false,
});

/** Adds what a step that was kept has told. */
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

/** `index` is the step's place in its recipe; `original`, the recipe's start, teaches where a loss asks. */
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
    target: env.runtime.name === "web" ? "web" : "node",
    skip: (node, reason) => notes.skipped.push({ node, method, reason }),
    group: (node, before, after, reason) =>
      notes.groups.push({ method, node, before, after, reason }),
    warn: (text) => notes.warnings.push(`${method}: ${text}`),
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
    ),
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
      if (run.steps > 0) notes.training.push({ step: formatRecipe([step]), ...run });
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
