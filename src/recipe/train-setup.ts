/** @file Sets up a run of training: the graph of one step, open in engines, and the teacher. */
import type { TrainHooks } from "../context.ts";
import { createReader, parseAugment } from "../data/augment.ts";
import type { Node } from "../ir/graph.ts";
import type { Tensor } from "../ir/tensor.ts";
import type { Random } from "../numeric/random.ts";
import { concat, writeModel } from "../onnx/write.ts";
import type { Forms } from "../ops/grad.ts";
import type { Feeds, Session } from "../runtime/runtime.ts";
import type { Chunk, StepSession } from "../train/chunks.ts";
import { comparesClasses, lossValue } from "../train/objective.ts";
import type { ComputeChoice } from "../train/state.ts";
import { feedName, ports, type StepGraph, stepOf } from "../train/step.ts";
import { type Choices, formsOf, tune } from "../train/tune.ts";
import type { StepFeed } from "../weights/latent.ts";
import { learnableOf } from "../weights/learnable.ts";
import { select } from "../weights/select.ts";
import type { Environment } from "./environment.ts";
import { openTaught } from "./taught.ts";
import { createTeacher, type Teacher, taughtOutput, teacherBytes } from "./teacher.ts";
import { labelOf, rowsOf } from "./train-labels.ts";
import {
  checkMixup,
  guideOf,
  hintsFor,
  type Plan,
  planFor,
  planOf,
  type TrainJob,
} from "./train-plan.ts";
import { startWorkers, type WorkerShape, type Workers } from "./workers.ts";

/**
 * For sessions that run a training step. More graph optimization did not make steps faster, because
 * it mostly needs constant weights; without the memory pattern a session takes less memory.
 */
const sessionOptions = { optimize: "basic", memoryPattern: false } as const;

/** The graph of one step, open in engines of its own. */
export interface OpenStep {
  readonly plan: Plan;
  /** The engines, which compute parts of a batch side by side: one in each lane. */
  readonly workers: Workers;
  /** The graph of one step on `plan.micro` records: forward pass, loss, gradient. */
  readonly step: StepGraph;
  /** The step in each lane. The graph for a smaller chunk is made when the first one comes. */
  readonly sessions: readonly StepSession[];
}

/** Everything that the training loop needs to take steps. */
export interface Setup extends OpenStep {
  readonly computeChoice: ComputeChoice;
  /** One chunk: inputs, labels, the teacher's outputs and feeds of the method. */
  read(
    indices: readonly number[],
    random: Random,
    at: { readonly step: number; readonly lane: number },
  ): Promise<Chunk>;
  /** Keeps the teacher's scores for later runs. */
  saveTaught(): Promise<void>;
  /** Times the possible forms of each convolution's gradient here and returns the fastest. */
  tune(): Promise<Choices>;
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
      : await planOf(job, workers.lanes);
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
 * with `workers.stop`. Null if the model has no parameter to train.
 */
export async function setUp(job: TrainJob, computeChoice: ComputeChoice): Promise<Setup | null> {
  const open = await openStep(job, computeChoice);
  if (!open) return null;
  const { plan, workers } = open;
  try {
    const augment = parseAugment(job.options.augment);
    checkMixup(augment, plan.objective);
    const records = createReader(augment, job.training);
    const teacher = plan.objective.teacher ? await openTeacher(job, plan, workers) : null;
    return {
      ...open,
      computeChoice,
      tune: () => tuneForms(job, plan, computeChoice.shape),
      saveTaught: () => saveTaught(teacher, job.env),
      read: (indices, random, at) => readFeeds(job, plan, teacher, records, indices, random, at),
    };
  } catch (cause) {
    await workers.stop();
    throw cause;
  }
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
        hints: plan.hints.map(({ student: own, port, shape, axis }) => {
          const regressed = hooks.regressors?.get(own)?.();
          const value = regressed ? g.Reshape(regressed, g.ints(shape, "shape")) : student.of(own);
          return { student: value, teacher: feeds[port], axis };
        }),
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

/** Opens the teacher in each lane. */
async function openTeacher(job: TrainJob, plan: Plan, workers: Workers): Promise<Teacher> {
  const guide = guideOf(job);
  const own = taughtOutput(guide, plan.output);
  const bytes = teacherBytes(guide, {
    output: plan.feeds[ports.teacher] ? own : null,
    hints: plan.hints.map(({ teacher }) => teacher),
    classes: comparesClasses(plan.objective) ? plan.task.classes : null,
    draws: job.options.draws,
  });
  const sessions = await workers.open({ bytes });
  // Hints are inner values, which are too large to keep.
  const keeps = job.options.augment === "" && plan.hints.length === 0;
  return createTeacher(
    sessions,
    keeps ? await openTaught(bytes, job.env.checkpoints?.cache) : null,
  );
}

/** Keeps the teacher's scores. A disk that is full takes nothing from the run. */
async function saveTaught(teacher: Teacher | null, { onEvent }: Environment): Promise<void> {
  try {
    await teacher?.save();
  } catch (cause) {
    const text = `the teacher's outputs could not be kept for later runs: ${cause instanceof Error ? cause.message : cause}`;
    onEvent({ type: "warning", text });
  }
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
