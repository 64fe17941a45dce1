/** @file What a run of training needs before its first step: the task, the step's graph, open engines. */

import type { TrainHooks } from "../context.ts";
import { createReader, parseAugment } from "../data/augment.ts";
import type { Batch, Dataset } from "../data/dataset.ts";
import type { Node } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { type Tensor, tensor } from "../ir/tensor.ts";
import { type Task, taskOf } from "../measure/task.ts";
import type { Random } from "../numeric/random.ts";
import { concat, writeModel } from "../onnx/write.ts";
import type { Forms } from "../ops/grad.ts";
import type { Feeds, Session } from "../runtime/runtime.ts";
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
import { createTeacher, type Teacher, teacherBytes } from "./teacher.ts";
import { startWorkers, type WorkerShape, type Workers } from "./workers.ts";

/** As measured best for steps (ENGINE B3). */
const sessionOptions = { optimize: "basic", memoryPattern: false } as const;

/** Everything that stays as it is from step to step. */
export interface TrainJob {
  readonly model: Model;
  readonly options: TrainOptions;
  readonly hooks: TrainHooks;
  readonly training: Dataset;
  readonly env: Environment;
  /** Teaches where a loss asks for a teacher and nobody else was named. */
  readonly original: Model;
}

/** Ready to take steps. */
export interface Setup {
  readonly computeChoice: ComputeChoice;
  readonly lanes: number;
  readonly labelled: boolean;
  readonly task: Task;
  readonly step: StepGraph;
  readonly sessions: readonly Session[];
  readonly micro: number;
  readonly batch: number;
  read(
    indices: readonly number[],
    random: Random,
    at: { readonly step: number; readonly lane: number },
  ): Promise<Feeds>;
  /** Times the forms of every convolution here, and gives the fastest. */
  tune(): Promise<Choices>;
  stop(): Promise<void>;
}

/** Engines in `shape`; close them with `stop`. Null where there is nothing to train. */
export async function setUp(job: TrainJob, { shape, forms }: ComputeChoice): Promise<Setup | null> {
  const workers = startWorkers(job.env, shape);
  try {
    const plan = await planOf(job, workers);
    const step = buildStep(job, plan, formsOf(forms));
    if (step.parameters.length === 0) {
      await workers.stop();
      return null;
    }
    const records = createReader(parseAugment(job.options.augment), job.training);
    const teacher = plan.objective.teacher ? await openTeacher(job, plan, workers) : null;
    const sessions = await workers.open({ bytes: concat(writeModel(step.model)) }, sessionOptions);
    const { lanes } = workers;
    const { task, micro, batch } = plan;
    return {
      ...{
        computeChoice: { shape, forms },
        lanes,
        task,
        step,
        sessions,
        micro,
        batch,
        labelled: plan.objective.label,
      },
      tune: () => tuneForms(job, plan, shape),
      read: (indices, random, at) => readFeeds(job, plan, teacher, records, indices, random, at),
      stop: workers.stop,
    };
  } catch (cause) {
    await workers.stop();
    throw cause;
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
  readonly hints: readonly Hint[];
}

/** Runs the first records once: what the label means, and the sizes of a batch. */
async function planOf(job: TrainJob, workers: Workers): Promise<Plan> {
  const { model, options, training, env } = job;
  const fixed = model.graph.inputs
    .map(({ shape }) => shape?.[0])
    .find((n) => typeof n === "number");
  const wanted = Math.min(options.batch, training.length);
  const micro =
    (fixed as number | undefined) ??
    Math.max(1, Math.min(options.micro || Infinity, Math.ceil(wanted / workers.lanes)));
  const batch = Math.max(micro, wanted - (wanted % micro));
  const first = await training.read(Array.from({ length: micro }, (_, i) => i % training.length));
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
  // Where nobody was named, the recipe's own start can teach: no label is needed to repair.
  const asks = ["kd", "logits", "features"].includes(options.loss) || task.kind === "none";
  const hasTeacher = env.teacher !== null || asks || options.hints.length > 0;
  const objective = objectiveOf(options.loss, task, hasTeacher);
  const shapes = Object.fromEntries(
    Object.entries(first.inputs).map(([name, { shape }]) => [name, shape]),
  );
  const feeds: Record<string, PortSpec> = {};
  if (objective.label && first.label) {
    const { dtype, shape } = labelOf(first, task);
    feeds[ports.label] = { dtype, shape };
  }
  if (objective.teacher && objective.id !== "features") {
    feeds[ports.teacher] = { dtype: "float32", shape: outputs[task.output].shape };
  }
  const choice = { hints: options.hints, all: objective.id === "features" };
  const hints = objective.teacher ? hintsOf(model, guideOf(job), choice, shapes) : [];
  for (const { port, shape } of hints) feeds[port] = { dtype: "float32", shape };
  return { task, output, objective, micro, batch, shapes, feeds, hints };
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

/** With the sizes of a batch and the options of the sessions that will run the step. */
function tuneForms(job: TrainJob, plan: Plan, shape: WorkerShape): Promise<Choices> {
  const { runtime, platform, trainThreads } = job.env;
  const threads = shape === "workers" ? 1 : trainThreads;
  return tune((forms) => buildStep(job, plan, forms), {
    open: (bytes) => runtime.open({ bytes }, { ...sessionOptions, threads }),
    cpuMs: () => platform.cpuMs() ?? platform.wallMs(),
  });
}

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

/** What is made anew for every step: the method's own inputs, and those of its latents. */
function feedsOf({ feeds, latents }: TrainHooks): Readonly<Record<string, StepFeed>> {
  const own = (latents ?? []).flatMap(({ latent }, i) =>
    Object.entries(latent.feeds ?? {}).map(([name, feed]) => [feedName(i, name), feed] as const),
  );
  return { ...feeds, ...Object.fromEntries(own) };
}

const guideOf = ({ env, original }: TrainJob): Model => env.teacher ?? original;

async function openTeacher(job: TrainJob, plan: Plan, workers: Workers): Promise<Teacher> {
  const guide = guideOf(job);
  const own = guide.graph.outputs.length > plan.output ? plan.output : 0;
  const index = plan.feeds[ports.teacher] ? own : null;
  const sessions = await workers.open({
    bytes: teacherBytes(
      guide,
      index,
      plan.hints.map(({ teacher }) => teacher),
    ),
  });
  // Inner values are too many to remember.
  const remembers = job.options.augment === "" && plan.hints.length === 0;
  return createTeacher(sessions, remembers);
}

async function readFeeds(
  { hooks }: TrainJob,
  plan: Plan,
  teacher: Teacher | null,
  records: ReturnType<typeof createReader>,
  indices: readonly number[],
  random: Random,
  at: { readonly step: number; readonly lane: number },
): Promise<Feeds> {
  const batch = await records(indices, random.fork("augment"));
  const feeds: Record<string, Tensor> = { ...batch.inputs };
  if (plan.feeds[ports.label]) feeds[ports.label] = labelOf(batch, plan.task);
  if (teacher) {
    const taught = await teacher.teach(indices, batch.inputs, at.lane);
    const scores = plan.feeds[ports.teacher];
    if (scores) feeds[ports.teacher] = (taught.shift() as Tensor).reshape(scores.shape);
    for (const [i, { port }] of plan.hints.entries()) feeds[port] = taught[i];
  }
  for (const [name, feed] of Object.entries(feedsOf(hooks))) {
    feeds[name] = feed.at(at.step, random);
  }
  return feeds;
}
