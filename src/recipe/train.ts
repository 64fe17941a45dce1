/** @file Binds the training loop to an engine, the user's records, a teacher, and files to go on from. */
import type { Batch, Dataset } from "../data/dataset.ts";
import { splitDataset } from "../data/split.ts";
import { errors, fail } from "../errors.ts";
import type { Node, Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import { type Tensor, tensor } from "../ir/tensor.ts";
import { measureMetric } from "../measure/metric.ts";
import { type Task, taskOf } from "../measure/task.ts";
import type { Trained, TrainHooks } from "../methods/method.ts";
import { select } from "../methods/sites.ts";
import type { Random } from "../numeric/random.ts";
import { concat, writeModel } from "../onnx/write.ts";
import type { Feeds } from "../runtime/runtime.ts";
import { resultOf, trainLoop } from "../train/loop.ts";
import { lossValue, type Objective, objectiveOf } from "../train/objective.ts";
import type { TrainOptions } from "../train/options.ts";
import { unflatten } from "../train/parameters.ts";
import { type PortSpec, ports, type Step, stepOf } from "../train/step.ts";
import { globToRegExp } from "../util/glob.ts";
import { assembleCrew, type Crew } from "./crew.ts";
import { checkpoint, type Environment } from "./environment.ts";
import { createTeacher, type Teacher, teacherBytes } from "./teacher.ts";

const heldOutLimit = 5000;
/** Steps between two checkpoints. */
const saveEvery = 100;

/** The part that is learned from, and the part that only judges; the same for the same seed. */
export function holdOut(
  records: Dataset,
  share: number,
  seed: number,
): { readonly training: Dataset; readonly heldOut: Dataset | null } {
  const count = Math.min(heldOutLimit, Math.round(share * records.length));
  if (count < 1 || count >= records.length) return { training: records, heldOut: null };
  const { calibration, rest } = splitDataset(records, { count, seed });
  return { training: rest, heldOut: calibration };
}

const untrained: Trained = { curve: [], score: null, steps: 0, parameters: 0, seconds: 0 };

/**
 * Trains the model's own constants in place. `original` teaches where a loss asks for a teacher and
 * nobody else was named. `label` tells runs of one recipe apart.
 */
export async function trainModel(
  model: Model,
  options: TrainOptions,
  hooks: TrainHooks,
  env: Environment,
  { label, original }: { readonly label: string; readonly original: Model },
): Promise<Trained> {
  if (!env.training) throw fail(errors.needsTraining(label));
  const began = env.platform.wallMs();
  const { training, heldOut } = holdOut(env.training, options.holdout, env.seed);
  const crew = assembleCrew(env, "workers");
  try {
    const plan = await planOf(model, options, training, crew, env);
    const guide = env.teacher ?? (plan.objective.teacher ? original : null);
    const teacher = guide && plan.objective.teacher ? await openTeacher(guide, plan, crew) : null;
    const step = buildStep(model, options, hooks, plan);
    if (step.parameters.length === 0) return untrained;
    const sessions = await crew.open(
      { bytes: concat(writeModel(step.model)) },
      { optimize: "basic", memoryPattern: false },
    );
    const perEpoch = Math.max(1, Math.floor(training.length / plan.batch));
    const steps = options.steps || Math.round(options.epochs * perEpoch);
    const key = JSON.stringify([
      label,
      options,
      env.seed,
      crew.lanes,
      training.name,
      training.length,
      step.parameters.map(({ size }) => size),
    ]);
    const saved = await env.checkpoints?.load(label);
    let shown = began;
    let seen = 0;
    let score: number | null = null;
    const state = await trainLoop(
      {
        step,
        sessions,
        micro: plan.micro,
        records: training.length,
        read: (indices, random, at) =>
          readFeeds(training, plan, teacher, hooks, indices, random, at),
        score:
          heldOut && plan.task.kind !== "none"
            ? (parameters, statistics) => scoreOf(model, step, parameters, statistics, heldOut, env)
            : null,
        rateOf: rateOf(model, options.rates),
        ...(hooks.beforeUpdate && { beforeUpdate: hooks.beforeUpdate }),
        ...(hooks.afterUpdate && { afterUpdate: hooks.afterUpdate }),
        async onProgress(point) {
          seen += point.records;
          score = point.score ?? score;
          const now = env.platform.wallMs();
          if (now - shown < 250 && point.step < steps) {
            if (env.signal?.aborted) await checkpoint(env, label);
            return;
          }
          const speed = (seen * 1000) / Math.max(1, now - shown);
          [shown, seen] = [now, 0];
          const detail = progressText(point.loss, score, speed);
          env.onEvent({
            type: "progress",
            what: label.replace(/^\d+ /, ""),
            done: point.step,
            total: steps,
            detail,
          });
          await checkpoint(env, label);
        },
        save: env.checkpoints ? (bytes) => env.checkpoints!.save(label, bytes) : null,
        saveEvery,
        resume: saved ?? null,
        key,
        where: env.checkpoints?.where(label) ?? "memory",
      },
      { ...options, steps, batch: plan.batch, lookEvery: perEpoch, seed: env.seed },
    );
    const { parameters, statistics } = resultOf(state, options);
    write(model, step, parameters, statistics);
    return {
      curve: state.curve,
      score: state.bestScore,
      steps: state.step,
      parameters: parameters.length,
      seconds: (env.platform.wallMs() - began) / 1000,
    };
  } finally {
    await crew.stop();
  }
}

interface Plan {
  readonly task: Task;
  /** Which of the model's outputs is judged and learned from. */
  readonly output: number;
  readonly objective: Objective;
  readonly micro: number;
  readonly batch: number;
  readonly shapes: Record<string, readonly number[]>;
  readonly feeds: Record<string, PortSpec>;
}

/** Runs the first records once: what the label means, and the sizes of a batch. */
async function planOf(
  model: Model,
  options: TrainOptions,
  training: Dataset,
  crew: Crew,
  env: Environment,
): Promise<Plan> {
  const fixed = model.graph.inputs
    .map(({ shape }) => shape?.[0])
    .find((n) => typeof n === "number");
  const wanted = Math.min(options.batch, training.length);
  const micro =
    (fixed as number | undefined) ??
    Math.max(1, Math.min(options.micro || Infinity, Math.ceil(wanted / crew.lanes)));
  const batch = Math.max(micro, wanted - (wanted % micro));
  const session = await env.runtime.open(
    { bytes: concat(writeModel(model)) },
    { threads: env.threads },
  );
  let outputs: Record<string, Tensor>;
  const first = await training.read(Array.from({ length: micro }, (_, i) => i % training.length));
  try {
    outputs = await session.run(first.inputs);
  } finally {
    await session.close();
  }
  const task = taskOf(micro, first.label, outputs, training.name);
  const output = model.graph.outputs.findIndex(({ name }) => name === task.output);
  // Where nobody was named, the recipe's own start can teach: no label is needed to repair.
  const asks = options.loss === "kd" || options.loss === "logits" || task.kind === "none";
  const hasTeacher = env.teacher !== null || asks;
  const objective = objectiveOf(options.loss, task, hasTeacher);
  const shapes = Object.fromEntries(
    Object.entries(first.inputs).map(([name, { shape }]) => [name, shape]),
  );
  const feeds: Record<string, PortSpec> = {};
  if (objective.label && first.label) {
    const { dtype, shape } = labelOf(first, task);
    feeds[ports.label] = { dtype, shape };
  }
  if (objective.teacher) {
    feeds[ports.teacher] = { dtype: "float32", shape: outputs[task.output].shape };
  }
  return { task, output, objective, micro, batch, shapes, feeds };
}

/** As the losses take it: class indices [rows] int64, or numbers. */
function labelOf({ label }: Batch, { kind, oneHot, classes }: Task): Tensor {
  const given = label as Tensor;
  if (kind === "target") return tensor("float32", given.shape, given.floats());
  if (kind === "binary") return tensor("float32", [given.size], given.floats());
  const values = given.numbers();
  const rows = oneHot ? given.size / (classes ?? 1) : given.size;
  const indices = new BigInt64Array(rows);
  for (let row = 0; row < rows; row++) {
    if (!oneHot) indices[row] = BigInt(Math.round(values[row]));
    else
      for (let c = 0; c < classes!; c++)
        if (values[row * classes! + c] === 1) indices[row] = BigInt(c);
  }
  return tensor("int64", [rows], indices);
}

function buildStep(model: Model, options: TrainOptions, hooks: TrainHooks, plan: Plan): Step {
  const nodes = [...model.graph.walk()].flatMap((graph) => [...graph.nodes]);
  const chosen = select(nodes, options);
  const step = stepOf(model, {
    shapes: plan.shapes,
    feeds: {
      ...plan.feeds,
      ...Object.fromEntries(
        Object.entries(hooks.feeds ?? {}).map(([name, { spec }]) => [name, spec]),
      ),
    },
    isTrained: (node) => chosen.has(node),
    extra: hooks.extra ?? [],
    batchStatistics: options.batchnorm === "batch",
    loss(g, student, feeds) {
      const output = student.outputs[plan.output];
      const values = {
        output,
        label: feeds[ports.label] ?? null,
        teacher: feeds[ports.teacher] ?? null,
      };
      const loss = lossValue(g, plan.objective, plan.task, values, options);
      const penalty = hooks.penalty?.(g, student, feeds);
      return penalty ? g.Add(loss, penalty) : loss;
    },
  });
  return step;
}

async function openTeacher(guide: Model, plan: Plan, crew: Crew): Promise<Teacher> {
  const index = guide.graph.outputs.length > plan.output ? plan.output : 0;
  const sessions = await crew.open({ bytes: teacherBytes(guide, index) });
  return createTeacher(sessions, true);
}

async function readFeeds(
  training: Dataset,
  plan: Plan,
  teacher: Teacher | null,
  hooks: TrainHooks,
  indices: readonly number[],
  random: Random,
  at: { readonly step: number; readonly lane: number },
): Promise<Feeds> {
  const batch = await training.read(indices);
  const feeds: Record<string, Tensor> = { ...batch.inputs };
  if (plan.feeds[ports.label]) feeds[ports.label] = labelOf(batch, plan.task);
  if (teacher) {
    const scores = await teacher.teach(indices, batch.inputs, at.lane);
    feeds[ports.teacher] = scores.reshape(plan.feeds[ports.teacher].shape);
  }
  for (const [name, feed] of Object.entries(hooks.feeds ?? {}))
    feeds[name] = feed.at(at.step, random);
  return feeds;
}

/** The metric on the held-out records, as "higher is better". */
async function scoreOf(
  model: Model,
  step: Step,
  parameters: Float32Array,
  statistics: Float32Array,
  heldOut: Dataset,
  env: Environment,
): Promise<number> {
  const twins = new Map<Value, Value>();
  const clone: Model = { ...model, graph: cloneGraph(model.graph, twins) };
  write(clone, step, parameters, statistics, (value) => twins.get(value) as Value);
  const session = await env.runtime.open(
    { bytes: concat(writeModel(clone)) },
    { threads: env.trainThreads },
  );
  try {
    const { metric } = await measureMetric({ session, dataset: heldOut, batchSize: 64 });
    if (!metric) return 0;
    return metric.name === "perplexity" ? -metric.value : metric.value;
  } finally {
    await session.close();
  }
}

function write(
  model: Model,
  { parameters: layout, statistics: layers }: Step,
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
}

/** "fc*=0.1" -> the factor of the layers it names; the last one that fits counts. */
function rateOf(model: Model, rates: readonly string[]) {
  const rules = rates.map((text) => {
    const [glob, factor] = text.split("=");
    const number = Number(factor);
    if (!(number >= 0))
      throw fail(errors.badOption("rates", `"${text}" is no glob=factor`, "Write fc*=0.1"));
    select([...model.graph.nodes], { only: [glob], except: [] }); // throws where nothing fits
    return { pattern: globToRegExp(glob), number };
  });
  return ({ node }: { readonly node: Node }): number =>
    rules.findLast(({ pattern }) => pattern.test(node.name) || pattern.test(node.op))?.number ?? 1;
}

function progressText(loss: number, score: number | null, speed: number): string {
  const parts = [`loss ${loss.toPrecision(3)}`];
  if (score !== null) parts.push(`held-out ${Math.abs(score).toFixed(2)}`);
  parts.push(`${Math.round(speed)} records/s`);
  return parts.join(", ");
}
