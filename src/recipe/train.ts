/** @file Trains a model: binds the training loop to engines, records, a teacher and checkpoints. */

import type { Trained, TrainHooks } from "../context.ts";
import type { Dataset } from "../data/dataset.ts";
import { errors, fail } from "../errors.ts";
import type { Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import { tensor } from "../ir/tensor.ts";
import { openDepth } from "../learned/depth.ts";
import { openNoisy } from "../learned/noise.ts";
import { openPools } from "../learned/pooling.ts";
import { aboutOf } from "../measure/about.ts";
import { measureMetric } from "../measure/metric.ts";
import { createRandom } from "../numeric/random.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { gradientOf } from "../train/chunks.ts";
import { type Progress, resultOf, stepsPerEpoch, trainLoop } from "../train/loop.ts";
import type { SettledOptions, TrainOptions } from "../train/options.ts";
import { flatten, thetaIn, unflatten } from "../train/parameters.ts";
import { choiceOf, plainChoice, type TrainState } from "../train/state.ts";
import type { StepGraph } from "../train/step.ts";
import type { Choices } from "../train/tune.ts";
import { closeLatent } from "../weights/latent.ts";
import { checkpoint, type Environment } from "./environment.ts";
import { valueJudge } from "./held-out-value.ts";
import { holdOut } from "./hold-out.ts";
import { withRegressors } from "./regressors.ts";
import type { TrainingRun } from "./step-context.ts";
import { bestTemperature } from "./temperature.ts";
import { timeSteps } from "./time-steps.ts";
import type { TrainJob } from "./train-plan.ts";
import { rateOf } from "./train-rates.ts";
import { type Setup, setUp } from "./train-setup.ts";

/** Steps between two checkpoints. */
const saveEvery = 100;
/** The self-test that chooses the fastest form of computing is left out in runs of fewer steps. */
const worthTesting = 200;

/** The environment of a training that is judged on the records that it holds out, if any. */
export function judgedHeldOut(env: Environment, share: number): Environment {
  const { training = null, heldOut = null } = env.training
    ? holdOut(env.training, share, env.seed)
    : {};
  if (!training || !heldOut) return env;
  const counts = { judged: heldOut.length, calibration: null, training: training.length };
  return { ...env, data: heldOut, records: { ...counts, from: "apart" } };
}

/** The result for a model without parameters to train. */
const untrained: Trained & Pick<TrainingRun, "speedup"> = {
  curve: [],
  score: null,
  steps: 0,
  parameters: 0,
  stopped: null,
  labelled: false,
  computeChoice: null,
  speedup: null,
  seconds: 0,
};

/**
 * Trains the model's constants in place on `env.training`. `original` is the teacher of a
 * distillation loss where the user named none. `label` is the run's name in checkpoints, progress
 * and errors; it has to be unique within a recipe. Throws TersorError "needs-training",
 * "no-gradient", "diverged", "bad-option", "aborted", and "bad-checkpoint" for one of another run.
 */
export async function trainModel(
  model: Model,
  options: TrainOptions,
  { latents = [], ...rest }: TrainHooks,
  env: Environment,
  { label, original }: { readonly label: string; readonly original: Model },
): Promise<Trained & Pick<TrainingRun, "speedup">> {
  if (!env.training) throw fail(errors.needsTraining(label));
  const noise = options.noise > 0 ? openNoisy(model, options, options.noise) : [];
  const depth = options.survival < 1 ? openDepth(model, options.survival) : [];
  const pools = options.s3pool > 0 ? openPools(model, options.s3pool) : [];
  const hooks = { ...rest, latents: [...latents, ...noise, ...depth, ...pools] };
  const run = (settled: SettledOptions, around = env, isTrial = false) =>
    runOnce(model, settled, hooks, around, { label, original, isTrial });
  const temperature =
    options.temperature === "auto"
      ? await bestTemperature({ model, options, hooks, env, original }, label, run)
      : options.temperature;
  return run({ ...options, temperature });
}

/** One run with settled options. A trial leaves the model as it is. */
async function runOnce(
  model: Model,
  options: SettledOptions,
  hooks: TrainHooks,
  env: Environment,
  {
    label,
    original,
    isTrial,
  }: { readonly label: string; readonly original: Model; readonly isTrial: boolean },
): Promise<Trained & Pick<TrainingRun, "speedup">> {
  if (!env.training) throw fail(errors.needsTraining(label));
  const began = env.platform.wallMs();
  const { training: records, heldOut } = holdOut(env.training, options.holdout, env.seed);
  // The graph of a step is made for inputs of one shape.
  const training = (await records.even?.()) ?? records;
  const given: TrainJob = { model, options, hooks, training, env, original };
  const job: TrainJob = { ...given, hooks: await withRegressors(given) };
  const saved = (await env.checkpoints?.load(label)) ?? null;
  const stepsOf = ({ plan: { taken, batch } }: Setup): number => {
    const { steps, epochs } = options;
    return steps || (epochs && Math.max(1, Math.round(epochs * stepsPerEpoch(taken, batch))));
  };
  const setup = await fastest(job, saved, stepsOf);
  if (!setup) return untrained;
  try {
    const { step, sessions, read, workers, computeChoice } = setup;
    const { micro, batch, taken, task, objective } = setup.plan;
    const steps = stepsOf(setup);
    checkNorms(setup, steps);
    hooks.begin?.(steps);
    const about = [label, options, env.seed, workers.lanes, training.name, training.length];
    const sizes = step.parameters.map(({ size }) => size);
    const state = await trainLoop(
      {
        ...{ step, sessions, micro, taken, read },
        records: training.length,
        score: heldOut && scorer(job, step, task.kind !== "none", heldOut),
        rateOf: rateOf(model, options.rates),
        isProbe: hooks.isProbe ?? false,
        ...(hooks.beforeUpdate && { beforeUpdate: hooks.beforeUpdate }),
        ...(hooks.afterUpdate && { afterUpdate: hooks.afterUpdate }),
        isFinishing: () => env.finish?.aborted === true,
        onProgress: reporter(env, label),
        save: env.checkpoints ? (bytes) => env.checkpoints!.save(label, bytes) : null,
        saveEvery,
        resume: saved,
        key: JSON.stringify([...about, sizes]),
        computeChoice,
        where: env.checkpoints?.where(label) ?? "memory",
      },
      {
        ...{ ...options, steps, batch, seed: env.seed },
        lookEvery: hooks.heldOut
          ? Math.ceil(steps / hooks.heldOut.looks)
          : stepsPerEpoch(taken, batch),
      },
    );
    const speedup = env.timesTraining ? await timeSteps(setup, job) : null;
    const { parameters, statistics } = resultOf(state, options);
    if (!isTrial) write(job, model, step, parameters, statistics);
    const seconds = (env.platform.wallMs() - began) / 1000;
    const { curve, bestScore: score } = state;
    const isFinished = env.finish?.aborted === true && state.step < steps;
    return {
      curve,
      score,
      steps: state.step,
      parameters: parameters.length,
      stopped:
        state.stopped ??
        (isFinished ? finishedText(state.step, steps, score) : null) ??
        (keepsStart(state, options) ? noBetterText : null),
      labelled: objective.label,
      computeChoice,
      speedup,
      seconds,
    };
  } finally {
    await setup.saveTaught();
    await setup.workers.stop();
  }
}

/**
 * Throws TersorError "bad-option" if some chunk is so small that a normalization would get a single
 * value per channel, which it would turn into its bias. PyTorch refuses such a batch as well.
 */
function checkNorms({ step, plan }: Setup, steps: number): void {
  const { micro, batch, taken } = plan;
  const hasRest = steps >= stepsPerEpoch(taken, batch);
  const sizes = [batch, hasRest ? taken % batch || batch : batch].map((n) => n % micro || micro);
  const smallest = Math.min(...sizes);
  if (step.statistics.every(({ count }) => (count * smallest) / micro > 1)) return;
  const why = `leaves ${smallest} record alone, and a normalization gets one value per channel`;
  throw fail(errors.badOption("batch", why, "Give another --batch, or --batchnorm frozen"));
}

/**
 * The setup that takes a step in the least time on this machine: first an engine per core is
 * compared with one engine on all cores, then the forms of each convolution are timed. There is no
 * self-test where the choice is given (by a checkpoint, for a replay, with `deterministic`) or the
 * run is short.
 */
async function fastest(
  job: TrainJob,
  saved: Uint8Array | null,
  stepsOf: (setup: Setup) => number,
): Promise<Setup | null> {
  const first = await setUp(
    job,
    (saved && choiceOf(saved)) ?? job.env.computeChoice ?? plainChoice,
  );
  if (!first || saved || job.env.computeChoice || stepsOf(first) < worthTesting) return first;
  const best = first.workers.lanes > 1 ? await soonest(first, job) : first;
  const { shape } = best.computeChoice;
  let forms: Choices;
  try {
    forms = await best.tune();
  } finally {
    await best.workers.stop();
  }
  return setUp(job, { shape, forms });
}

/**
 * The faster per record of two setups: `lanes` (an engine per core) or one engine that uses all
 * cores. The other one is stopped.
 */
async function soonest(lanes: Setup, job: TrainJob): Promise<Setup> {
  let threads: Setup | null = null;
  try {
    threads = await setUp(job, { shape: "threads", forms: {} });
    if (!threads) return lanes;
    const isSooner = (await stepTime(lanes, job)) <= (await stepTime(threads, job));
    const [kept, left] = isSooner ? [lanes, threads] : [threads, lanes];
    await left.workers.stop();
    return kept;
  } catch (cause) {
    await lanes.workers.stop();
    await threads?.workers.stop();
    throw cause;
  }
}

/** Milliseconds per record of a step: the smaller of two measurements after one warm-up step. */
async function stepTime({ step, sessions, read, plan }: Setup, job: TrainJob): Promise<number> {
  const { platform, seed } = job.env;
  const { micro } = plan;
  const random = createRandom(seed).fork("self-test");
  const vector = flatten(step.parameters);
  const chunks = await Promise.all(
    sessions.map((_, lane) => {
      const indices = Array.from(
        { length: micro },
        (_, i) => (lane * micro + i) % job.training.length,
      );
      return read(indices, random, { step: 0, lane });
    }),
  );
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 3; i++) {
    const began = platform.wallMs();
    await gradientOf(sessions, chunks, vector, step);
    if (i > 0) best = Math.min(best, platform.wallMs() - began);
  }
  return best / (micro * sessions.length);
}

/**
 * A callback that reports progress at most four times a second (and after the last step), with the
 * records per second since the last report. Throws TersorError "aborted" if the signal was set.
 */
function reporter(env: Environment, label: string) {
  let shown = env.platform.wallMs();
  let seen = 0;
  let score: number | null = null;
  return async (point: Progress): Promise<void> => {
    seen += point.records;
    score = point.score ?? score;
    const now = env.platform.wallMs();
    if (now - shown < 250 && point.step < point.steps) {
      if (env.signal?.aborted) await checkpoint(env, label);
      return;
    }
    const speed = (seen * 1000) / Math.max(1, now - shown);
    [shown, seen] = [now, 0];
    const what = label.replace(/^[\d.]+ /, "");
    const detail = progressText(point.loss, score, speed);
    const training = { loss: point.loss, score };
    env.onEvent({ type: "progress", what, done: point.step, total: point.steps, detail, training });
    await checkpoint(env, label);
  };
}

/**
 * The function that scores parameters on held-out records, higher is better: by what the hooks compare,
 * else by the metric; null where there is neither.
 */
function scorer(job: TrainJob, step: StepGraph, hasTask: boolean, heldOut: Dataset) {
  const { model, env, hooks } = job;
  const { heldOut: own, teacher = job.original } = hooks;
  if (!own && !hasTask) return null;
  const judge = own && valueJudge(teacher, own.target, heldOut, env);
  return async (parameters: Float32Array, statistics: Float32Array): Promise<number> => {
    const twins = new Map<Value, Value>();
    const clone: Model = { ...model, graph: cloneGraph(model.graph, twins) };
    const of = (value: Value): Value => twins.get(value) as Value;
    write(job, clone, step, parameters, statistics, of);
    return judge && own ? judge(clone, of(own.value)) : metricOf(clone, heldOut, env);
  };
}

/** The metric on these records, negated where lower is better. 0 where there is no metric. */
async function metricOf(model: Model, heldOut: Dataset, env: Environment): Promise<number> {
  const session = await env.runtime.open(
    { bytes: concat(writeModel(model)) },
    { threads: env.trainThreads },
  );
  try {
    // Nothing is compared here, so a metric against the original's outputs has nothing to say.
    const named = env.metric?.needs === "original" ? null : (env.metric ?? null);
    const { metric } = await measureMetric({
      session,
      dataset: heldOut,
      metric: named,
      batchSize: 64,
    });
    if (!metric) return 0;
    return aboutOf(metric).higherIsBetter ? metric.value : -metric.value;
  } finally {
    await session.close();
  }
}

/**
 * Writes trained parameters and BatchNormalization statistics into `model`: the trained model
 * itself or a copy of it, whose values `of` finds. Latents are closed into their stored forms.
 */
function write(
  { hooks }: TrainJob,
  model: Model,
  { parameters: layout, statistics: layers }: StepGraph,
  parameters: Float32Array,
  statistics: Float32Array,
  of: (value: Value) => Value = (value) => value,
): void {
  unflatten(layout, parameters, of);
  let at = 0;
  for (const { mean, variance, channels } of layers) {
    for (const value of [mean, variance]) {
      const values = statistics.slice(at, at + channels);
      model.graph.setConstant(of(value), tensor("float32", [channels], values));
      at += channels;
    }
  }
  for (const opened of hooks.latents ?? []) {
    const { latent } = opened;
    const theta = Object.entries(latent.theta).map(([name, { start }]) => {
      return [name, thetaIn(layout, latent, name, parameters)?.slice() ?? start] as const;
    });
    closeLatent(opened, Object.fromEntries(theta), of);
  }
}

function finishedText(step: number, steps: number, score: number | null): string {
  const kept = score === null ? "" : "; the best by the held-out records is kept";
  return `training was ended after step ${step} of ${steps}${kept}`;
}

/** Whether the weights are those from before the training. */
const keepsStart = ({ bestScore, bestStep }: TrainState, { keep }: SettledOptions): boolean =>
  keep === "best" && bestScore !== null && bestStep === 0;

const noBetterText =
  "no step of the training was better on the held-out records than the start, which is kept";

function progressText(loss: number, score: number | null, speed: number): string {
  const parts = [`loss ${loss.toPrecision(3)}`];
  if (score !== null) parts.push(`held-out ${Math.abs(score).toFixed(2)}`);
  parts.push(`${Math.round(speed)} records/s`);
  return parts.join(", ");
}
