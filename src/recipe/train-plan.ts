/** @file Plans a run of training: the task, the loss, the sizes of a batch, the inputs of a step. */
import type { TrainHooks } from "../context.ts";
import type { AugmentOptions } from "../data/augment.ts";
import type { Dataset } from "../data/dataset.ts";
import { errors, fail } from "../errors.ts";
import type { Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import { type ScoredTask, scoredTaskOf } from "../measure/task.ts";
import { concat, writeModel } from "../onnx/write.ts";
import type { Feeds, Source } from "../runtime/runtime.ts";
import { hintLosses } from "../train/hint-losses.ts";
import { type LossId, type Objective, objectiveOf } from "../train/objective.ts";
import type { SettledOptions, TrainOptions } from "../train/options.ts";
import { type PortSpec, ports } from "../train/step.ts";
import type { Environment } from "./environment.ts";
import { type Hint, hintsOf } from "./hints.ts";
import { checkLabels, labelOf } from "./train-labels.ts";

/** The inputs of a run of training; they are the same for all its steps. */
export interface TrainJob {
  /** The model whose constants are trained, in place. */
  readonly model: Model;
  readonly options: SettledOptions;
  readonly hooks: JobHooks;
  /** The records to train on, without the held-out ones. */
  readonly training: Dataset;
  readonly env: Environment;
  /** The model that the run was given: the teacher of a distillation loss if the user named none. */
  readonly original: Model;
}

/** The hooks of a run, and by hint the layer that it goes through before it is compared. */
export interface JobHooks extends TrainHooks {
  readonly regressors?: ReadonlyMap<Value, () => Value | null>;
}

/** What the steps of a run have in common. */
export interface Plan {
  readonly task: ScoredTask;
  /** Index of the model's output that the loss is taken on. */
  readonly output: number;
  readonly objective: Objective;
  /** Records in one run of a session, at most. */
  readonly micro: number;
  /** Records in one update of the parameters. */
  readonly batch: number;
  /** Records in one epoch: all, or as many as fill whole chunks of a fixed size. */
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
export async function planOf(job: TrainJob, lanes: number): Promise<Plan> {
  const { model, options, training, env } = job;
  const sizes = sizesOf(job, lanes);
  const { micro } = sizes;
  const indices = Array.from({ length: micro }, (_, i) => i);
  const first = await training.read(indices);
  const outputs = await outputsOf({ bytes: concat(writeModel(model)) }, first.inputs, env);
  const task = scoredTaskOf(micro, first.label, outputs, training.name);
  const output = model.graph.outputs.findIndex(({ name }) => name === task.output);
  const unnamed = isOriginal(job) ? null : "original";
  const objective = objectiveFor(options, task, namedTeacher(job) ? "named" : unnamed);
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

/** Opens a model for a single run. */
export async function outputsOf(
  source: Source,
  feeds: Feeds,
  { runtime, threads }: Pick<Environment, "runtime" | "threads">,
): Promise<Record<string, Tensor>> {
  const session = await runtime.open(source, { threads });
  try {
    return await session.run(feeds);
  } finally {
    await session.close();
  }
}

/**
 * The objective of a run of training. Where no teacher was named, the original model of the run can
 * teach, so that a model can be repaired without labels. It cannot teach itself (null), though:
 * nothing would be learned. Throws what `objectiveOf` does.
 */
export function objectiveFor(
  options: Pick<TrainOptions, "loss" | "smoothing" | "hints">,
  task: ScoredTask,
  teacher: "named" | "original" | null,
): Objective {
  const asks =
    ["distil", "kd", "dkd", "logits", "features"].includes(options.loss) || task.kind === "none";
  const wanted = asks || options.hints.length > 0;
  return objectiveOf(options, task, teacher === "named" || (wanted && teacher === "original"));
}

/**
 * The wanted batch, divided among the lanes. A model or a teacher with a fixed batch size takes
 * chunks of that size only: the batch is a multiple of it, and an epoch leaves out the records that
 * fill no chunk. Throws TersorError "no-records" if there are too few for one.
 */
function sizesOf(job: TrainJob, lanes: number) {
  const { model, options, training } = job;
  const { length } = training;
  const teacher = namedTeacher(job);
  const fixed = fixedBatchOf(model) ?? (teacher && fixedBatchOf(teacher));
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

/** The batch size if some input fixes it, else null. */
export const fixedBatchOf = ({ graph }: Model): number | null =>
  (graph.inputs.map(({ shape }) => shape?.[0]).find((n) => typeof n === "number") as number) ??
  null;

/** The inner values that the teacher's are compared with, for inputs of these shapes. */
export const hintsFor = (
  job: TrainJob,
  { id, teacher }: { readonly id: LossId; readonly teacher: boolean },
  shapes: Plan["shapes"],
): Hint[] => {
  const { hints, hintloss } = job.options;
  const choice = { hints, all: id === "features", fits: hintLosses[hintloss].fits };
  return teacher ? hintsOf(job.model, guideOf(job), choice, shapes) : [];
};

/** The plan for chunks of another number of records. */
export function planFor(job: TrainJob, plan: Plan, records: number): Plan {
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

/** Throws TersorError "bad-option" where images are blended and their labels are learned. */
export function checkMixup({ mixup }: AugmentOptions, { label, scores }: Objective): void {
  if (!mixup || !label || scores) return;
  const why = "mixup blends images, but not their labels";
  throw fail(errors.badOption("augment", why, "Give --teacher <model>, or leave mixup out"));
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

/** The teacher: the method's own, else the one that the user named, else the run's original model. */
export const guideOf = (job: TrainJob): Model => namedTeacher(job) ?? job.original;

/** The teacher that was named, by the method or by the user; null if none was. */
const namedTeacher = ({ env, hooks }: Pick<TrainJob, "env" | "hooks">): Model | null =>
  hooks.teacher ?? env.teacher;
