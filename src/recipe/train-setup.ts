/** @file Sets up a run of training: the task, the graph of one step, open engines, the teacher. */

import type { TrainHooks } from "../context.ts";
import { type AugmentOptions, createReader, parseAugment } from "../data/augment.ts";
import type { Dataset } from "../data/dataset.ts";
import { errors, fail } from "../errors.ts";
import type { Node } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import { type Task, taskOf } from "../measure/task.ts";
import type { Random } from "../numeric/random.ts";
import { concat, writeModel } from "../onnx/write.ts";
import type { Forms } from "../ops/grad.ts";
import type { Feeds, Session } from "../runtime/runtime.ts";
import type { Chunk, StepSession } from "../train/chunks.ts";
import { lossValue, type Objective, objectiveOf } from "../train/objective.ts";
import type { TrainOptions } from "../train/options.ts";
import type { ComputeChoice } from "../train/state.ts";
import { feedName, type PortSpec, ports, type StepGraph, stepOf } from "../train/step.ts";
import { type Choices, formsOf, tune } from "../train/tune.ts";
import type { StepFeed } from "../weights/latent.ts";
import { learnableOf } from "../weights/learnable.ts";
import { select } from "../weights/select.ts";
import type { Environment } from "./environment.ts";
import { type Hint, hintsOf } from "./hints.ts";
import { createTeacher, type Teacher, taughtOutput, teacherBytes } from "./teacher.ts";
import { checkLabels, labelOf, rowsOf } from "./train-labels.ts";
import { startWorkers, type WorkerShape, type Workers } from "./workers.ts";

/**
 * For sessions that run a training step. More graph optimization did not make steps faster, because
 * it mostly needs constant weights; without the memory pattern a session takes less memory.
 */
const sessionOptions = { optimize: "basic", memoryPattern: false } as const;

/** The inputs of a run of training; they are the same for all its steps. */
export interface TrainJob {
  /** The model whose constants are trained, in place. */
  readonly model: Model;
  readonly options: TrainOptions;
  readonly hooks: TrainHooks;
  /** The records to train on, without the held-out ones. */
  readonly training: Dataset;
  readonly env: Environment;
  /** The model that the run was given: the teacher of a distillation loss if the user named none. */
  readonly original: Model;
}

/** Everything that the training loop needs to take steps. */
export interface Setup {
  readonly computeChoice: ComputeChoice;
  readonly plan: Plan;
  /** How many engines compute parts of a batch side by side. */
  readonly lanes: number;
  /** Whether the loss uses labels. */
  readonly labelled: boolean;
  readonly task: Task;
  /** The graph of one step on `micro` records: forward pass, loss, gradient. */
  readonly step: StepGraph;
  /** The step in each lane. The graph for a smaller chunk is made when the first one comes. */
  readonly sessions: readonly StepSession[];
  /** Records in one run of a session, at most. */
  readonly micro: number;
  /** Records in one update of the parameters. */
  readonly batch: number;
  /** Records in one epoch: all, or as many as fill whole chunks of a fixed size. */
  readonly taken: number;
  /** One chunk: inputs, labels, the teacher's outputs and feeds of the method. */
  read(
    indices: readonly number[],
    random: Random,
    at: { readonly step: number; readonly lane: number },
  ): Promise<Chunk>;
  /** Times the possible forms of each convolution's gradient here and returns the fastest. */
  tune(): Promise<Choices>;
  /** Ends the engines' threads and closes the sessions. */
  stop(): Promise<void>;
}

/** The graph of one step, open in engines of its own. */
export interface OpenStep {
  readonly plan: Plan;
  readonly workers: Workers;
  readonly step: StepGraph;
  /** The step in each lane. The graph for a smaller chunk is made when the first one comes. */
  readonly sessions: readonly StepSession[];
}

/**
 * Builds the graph of a step and opens it, with engines in `shape` and convolutions in `forms`. The
 * caller ends it with `workers.stop`. Null if the model has no parameter to train. `like` is the plan
 * of another model's run whose steps it shall resemble: the same loss on the same batches.
 */
export async function openStep(
  job: TrainJob,
  { shape, forms }: ComputeChoice,
  like: Plan | null = null,
): Promise<OpenStep | null> {
  const workers = startWorkers(job.env, shape);
  try {
    const plan = like
      ? { ...like, hints: hintsFor(job, like.objective, like.shapes) }
      : await planOf(job, workers);
    const step = buildStep(job, plan, formsOf(forms));
    if (step.parameters.length === 0) {
      await workers.stop();
      return null;
    }
    const open = (graph: StepGraph) =>
      workers.open({ bytes: concat(writeModel(graph.model)) }, sessionOptions);
    const opened = new Map([[plan.micro, open(step)]]);
    await opened.get(plan.micro);
    const sessionsFor = (records: number): Promise<Session[]> => {
      const made =
        opened.get(records) ?? open(buildStep(job, planFor(job, plan, records), formsOf(forms)));
      opened.set(records, made);
      return made;
    };
    const sessions = Array.from({ length: workers.lanes }, (_, lane) => ({
      run: async (feeds: Feeds, records: number) => (await sessionsFor(records))[lane].run(feeds),
    }));
    return { plan, workers, step, sessions };
  } catch (cause) {
    await workers.stop();
    throw cause;
  }
}

/**
 * Opens what a run needs: the step (see `openStep`), its records and its teacher. The caller ends it
 * with `stop`. Null if the model has no parameter to train.
 */
export async function setUp(job: TrainJob, computeChoice: ComputeChoice): Promise<Setup | null> {
  const open = await openStep(job, computeChoice);
  if (!open) return null;
  const { plan, workers, step, sessions } = open;
  try {
    const augment = parseAugment(job.options.augment);
    checkMixup(augment, plan.objective);
    const records = createReader(augment, job.training);
    const teacher = plan.objective.teacher ? await openTeacher(job, plan, workers) : null;
    const { task, micro, batch, taken, objective } = plan;
    return {
      ...{ computeChoice, plan, step, sessions, task, micro, batch, taken },
      lanes: workers.lanes,
      labelled: objective.label,
      tune: () => tuneForms(job, plan, computeChoice.shape),
      read: (indices, random, at) => readFeeds(job, plan, teacher, records, indices, random, at),
      stop: workers.stop,
    };
  } catch (cause) {
    await workers.stop();
    throw cause;
  }
}

/** Throws TersorError "bad-option" where images are blended and their labels are learned. */
export function checkMixup({ mixup }: AugmentOptions, { label, scores }: Objective): void {
  if (!mixup || !label || scores) return;
  const why = "mixup blends images, but not their labels";
  throw fail(errors.badOption("augment", why, "Give --teacher <model>, or leave mixup out"));
}

/** What the steps of a run have in common. */
export interface Plan {
  readonly task: Task;
  /** Index of the model's output that the loss is taken on. */
  readonly output: number;
  readonly objective: Objective;
  readonly micro: number;
  readonly batch: number;
  readonly taken: number;
  /** Shapes of the model's inputs for one run. */
  readonly shapes: Record<string, readonly number[]>;
  /** Types and shapes of the step's other inputs: label, teacher's scores, hints. */
  readonly feeds: Record<string, PortSpec>;
  readonly hints: readonly Hint[];
}

/**
 * Decides the task, the loss and the sizes of a batch. The model is run once on the first records,
 * because labels and outputs together tell the task.
 */
async function planOf(job: TrainJob, workers: Workers): Promise<Plan> {
  const { model, options, training, env } = job;
  const sizes = sizesOf(job, workers.lanes);
  const { micro } = sizes;
  const indices = Array.from({ length: micro }, (_, i) => i);
  const first = await training.read(indices);
  const session = await env.runtime.open(
    { bytes: concat(writeModel(model)) },
    { threads: env.threads },
  );
  let outputs: Record<string, Tensor>;
  try {
    outputs = await session.run(first.inputs);
  } finally {
    await session.close();
  }
  const task = taskOf(micro, first.label, outputs, training.name);
  const output = model.graph.outputs.findIndex(({ name }) => name === task.output);
  const unnamed = isOriginal(job) ? null : "original";
  const objective = objectiveFor(options, task, env.teacher ? "named" : unnamed);
  if (objective.label && env.training) checkLabels(env.training, { task, objective });
  const shapes = Object.fromEntries(
    Object.entries(first.inputs).map(([name, { shape }]) => [name, shape]),
  );
  const feeds: Record<string, PortSpec> = {};
  if (objective.label || objective.ignores) {
    const { dtype, shape } = labelOf(first, { task, objective }, training, indices);
    feeds[ports.label] = { dtype, shape };
  }
  if (objective.scores) {
    feeds[ports.teacher] = { dtype: "float32", shape: outputs[task.output].shape };
  }
  const hints = hintsFor(job, objective, shapes);
  for (const { port, shape } of hints) feeds[port] = { dtype: "float32", shape };
  return { task, output, objective, ...sizes, shapes, feeds, hints };
}

/**
 * The objective of a run of training. Where no teacher was named, the original model of the run can
 * teach, so that a model can be repaired without labels. It cannot teach itself (null), though:
 * nothing would be learned. Throws what `objectiveOf` does.
 */
export function objectiveFor(
  options: Pick<TrainOptions, "loss" | "smoothing" | "hints">,
  task: Task,
  teacher: "named" | "original" | null,
): Objective {
  const asks = ["kd", "logits", "features"].includes(options.loss) || task.kind === "none";
  const wanted = asks || options.hints.length > 0;
  return objectiveOf(options, task, teacher === "named" || (wanted && teacher === "original"));
}

/**
 * The wanted batch, divided among the lanes. A model or a teacher with a fixed batch size takes
 * chunks of that size only: the batch is a multiple of it, and an epoch leaves out the records that
 * fill no chunk. Throws TersorError "no-records" if there are too few for one.
 */
function sizesOf({ model, options, training, env }: TrainJob, lanes: number) {
  const { length } = training;
  const fixed = fixedBatch(model) ?? (env.teacher && fixedBatch(env.teacher));
  const wanted = Math.min(options.batch, length);
  if (fixed === null) {
    const most = options.micro || Number.POSITIVE_INFINITY;
    return { micro: Math.min(most, Math.ceil(wanted / lanes)), batch: wanted, taken: length };
  }
  if (length < fixed) {
    const why = `leaves ${length} records to train on, and the model takes ${fixed} at a time`;
    throw fail(errors.noRecords(training.name, why, "Give more, or free the model's batch axis"));
  }
  const batch = Math.max(fixed, wanted - (wanted % fixed));
  return { micro: fixed, batch, taken: length - (length % fixed) };
}

const fixedBatch = ({ graph }: Model): number | null =>
  (graph.inputs.map(({ shape }) => shape?.[0]).find((n) => typeof n === "number") as number) ??
  null;

const hintsFor = (job: TrainJob, { id, teacher }: Objective, shapes: Plan["shapes"]): Hint[] => {
  const choice = { hints: job.options.hints, all: id === "features" };
  return teacher ? hintsOf(job.model, guideOf(job), choice, shapes) : [];
};

/** The plan for chunks of another number of records. */
function planFor(job: TrainJob, plan: Plan, records: number): Plan {
  const scaled = ([first, ...rest]: readonly number[]) => [(first * records) / plan.micro, ...rest];
  const sized = Object.entries(plan.shapes).map(([name, shape]) => [name, scaled(shape)]);
  const shapes: Plan["shapes"] = Object.fromEntries(sized);
  const hints = hintsFor(job, plan.objective, shapes);
  const feeds = Object.entries(plan.feeds).map(([name, { dtype, shape }]) => {
    const hint = hints.find(({ port }) => port === name);
    return [name, { dtype, shape: hint?.shape ?? scaled(shape) }];
  });
  return { ...plan, micro: records, shapes, hints, feeds: Object.fromEntries(feeds) };
}

/**
 * Times the forms with the batch sizes and the session options that the training steps will have.
 */
function tuneForms(job: TrainJob, plan: Plan, shape: WorkerShape): Promise<Choices> {
  const { runtime, platform, trainThreads } = job.env;
  const threads = shape === "workers" ? 1 : trainThreads;
  return tune((forms) => buildStep(job, plan, forms), {
    open: (bytes) => runtime.open({ bytes }, { ...sessionOptions, threads }),
    cpuMs: () => platform.cpuMs() ?? platform.wallMs(),
  });
}

/** The graph of one step: forward pass, loss with the method's penalty, and gradient. */
function buildStep({ model, options, hooks }: TrainJob, plan: Plan, forms: Forms): StepGraph {
  const nodes = [...model.graph.walk()].flatMap((graph) => [...graph.nodes]);
  const chosen = select(nodes, options);
  const isTrained = (node: Node): boolean => chosen.has(node);
  const step = stepOf(model, {
    shapes: plan.shapes,
    feeds: { ...plan.feeds, ...feedsOf(hooks) },
    forms,
    isTrained,
    learns: learnableOf(model, isTrained),
    latents: hooks.latents ?? [],
    batchStatistics: options.batchnorm !== "frozen",
    loss(g, student, feeds) {
      const output = student.outputs[plan.output];
      const values = {
        output,
        label: feeds[ports.label] ?? null,
        teacher: feeds[ports.teacher] ?? null,
        hints: plan.hints.map((hint) => [student.of(hint.student), feeds[hint.port]] as const),
      };
      const loss = lossValue(g, plan.objective, plan.task, values, options);
      const penalty = hooks.penalty?.(g, student, feeds);
      return penalty ? g.Add(loss, penalty) : loss;
    },
  });
  return step;
}

/** Inputs whose values are computed for each step: those of the method and those of its latents. */
function feedsOf({ feeds, latents }: TrainHooks): Readonly<Record<string, StepFeed>> {
  const own = (latents ?? []).flatMap(({ latent }, i) =>
    Object.entries(latent.feeds ?? {}).map(([name, feed]) => [feedName(i, name), feed] as const),
  );
  return { ...feeds, ...Object.fromEntries(own) };
}

/**
 * Whether the student is still the original model of the run: no step has changed it, and the method
 * trains nothing but its constants. Tensors are immutable, so those that no step changed are shared.
 */
function isOriginal({ model, original, hooks }: TrainJob): boolean {
  const { latents = [], penalty, beforeUpdate, afterUpdate } = hooks;
  if (latents.length > 0 || penalty || beforeUpdate || afterUpdate) return false;
  const partsOf = ({ graph }: Model) =>
    [...graph.walk()].flatMap(({ nodes, constants }) => [
      ...Array.from(nodes, ({ op }) => op),
      ...Array.from(constants, (value) => value.tensor),
    ]);
  const [own, first] = [partsOf(model), partsOf(original)];
  return own.length === first.length && own.every((part, i) => part === first[i]);
}

/** The teacher: the one that the user named, else the original model of the run. */
const guideOf = ({ env, original }: TrainJob): Model => env.teacher ?? original;

/** Opens the teacher in each lane. */
async function openTeacher(job: TrainJob, plan: Plan, workers: Workers): Promise<Teacher> {
  const guide = guideOf(job);
  const own = taughtOutput(guide, plan.output);
  const index = plan.feeds[ports.teacher] ? own : null;
  const sessions = await workers.open({
    bytes: teacherBytes(
      guide,
      index,
      plan.hints.map(({ teacher }) => teacher),
    ),
  });
  // Hints are inner values, which are too large to cache.
  const remembers = job.options.augment === "" && plan.hints.length === 0;
  return createTeacher(sessions, remembers);
}

/** Reads and augments the records `indices` and adds all other inputs of the step. */
async function readFeeds(
  { hooks, training }: TrainJob,
  plan: Plan,
  teacher: Teacher | null,
  records: ReturnType<typeof createReader>,
  indices: readonly number[],
  random: Random,
  at: { readonly step: number; readonly lane: number },
): Promise<Chunk> {
  const batch = await records(indices, random.fork("augment"));
  const feeds: Record<string, Tensor> = { ...batch.inputs };
  if (plan.feeds[ports.label]) feeds[ports.label] = labelOf(batch, plan, training, indices);
  if (teacher) {
    const taught = await teacher.teach(indices, batch.inputs, at.lane);
    const scores = plan.feeds[ports.teacher];
    if (scores) {
      const [rows, ...rest] = scores.shape;
      const shape = [(rows * indices.length) / plan.micro, ...rest];
      feeds[ports.teacher] = (taught.shift() as Tensor).reshape(shape);
    }
    for (const [i, { port }] of plan.hints.entries()) feeds[port] = taught[i];
  }
  for (const [name, feed] of Object.entries(feedsOf(hooks))) {
    feeds[name] = feed.at(at.step, random);
  }
  const rows = rowsOf(feeds[ports.label], plan) ?? indices.length;
  return { feeds, records: indices.length, rows };
}
