/** @file Checks, before any work, that recipes can train on the records: loss, teacher, images. */
import { createReader, parseAugment } from "../data/augment.ts";
import type { Batch, Dataset } from "../data/dataset.ts";
import { errors, fail, TersorError } from "../errors.ts";
import type { Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import { scoredTaskOf } from "../measure/task.ts";
import { needsOf } from "../methods/method.ts";
import { createRandom } from "../numeric/random.ts";
import type { TrainOptions } from "../train/options.ts";
import { outputsOfMembers } from "./ensemble.ts";
import type { Environment } from "./environment.ts";
import type { Loaded } from "./load.ts";
import { formatRecipe, type Step } from "./steps.ts";
import { createTeacher, taughtOutput, teacherBytes } from "./teacher.ts";
import { checkLabels } from "./train-labels.ts";
import { checkMixup, fixedBatchOf, objectiveFor, outputsOf } from "./train-plan.ts";
import { parseRates } from "./train-rates.ts";

/** How many records are looked at. */
const few = 8;

/**
 * Runs the model, and the teacher if one is asked, on a few training records. Throws TersorError
 * "bad-data" (an input is not made of records along its first axis), "label-mismatch",
 * "label-out-of-range", "bad-option" (the loss does not fit the labels, the
 * augmentation not the records, or the teacher not the model) and "needs-teacher" (a model would
 * learn from itself).
 */
export async function checkTraining(
  recipes: readonly (readonly Step[])[],
  loaded: Loaded,
  env: Environment,
): Promise<void> {
  const { training, teacher } = env;
  const trains = (step: Step): boolean => needsOf(step).includes("training");
  if (!training || !recipes.flat().some(trains)) return;
  checkAxes(training);
  const indices = someRecords(loaded.model, training);
  const batch = await training.read(indices);
  const outputs = await outputsOf(loaded.source, batch.inputs, env);
  const task = scoredTaskOf(batch.size, batch.label, outputs, training.name);
  let asksTeacher = false;
  for (const recipe of recipes) {
    for (const step of recipe.filter(trains)) {
      const { augment = "", rates = [] } = optionsOf(step);
      parseRates(rates);
      const objective = objectiveFor(lossOf(step), task, teacher ? "named" : "original");
      const isOwnTeacher = step.method.onlyTrains && step === recipe[0] && !teacher;
      if (objective.teacher && isOwnTeacher) throw fail(errors.needsTeacher(formatRecipe([step])));
      const changes = parseAugment(augment);
      checkMixup(changes, objective);
      await createReader(changes, training)(indices, createRandom(env.seed));
      if (objective.label) checkLabels(training, { task, objective });
      asksTeacher ||= objective.scores;
    }
  }
  if (!teacher || !asksTeacher) return;
  const output = loaded.model.graph.outputs.findIndex(({ name }) => name === task.output);
  const own = taughtOutput(teacher, output);
  for (const outputsOfOne of outputsOfMembers(teacher)) {
    await checkTeacher(teacher, outputsOfOne[own], batch, outputs[task.output], env);
  }
}

/** Throws "bad-data" if some input is not made of one part for each record, along its first axis. */
function checkAxes({ name, axes = new Map(), isSingle }: Dataset): void {
  const [input] = axes.keys();
  if (input === undefined && !isSingle) return;
  const why = `"${input}" does not hold a part for each record along its first axis`;
  const remedy = "Such a model cannot be trained yet: use methods that only calibrate";
  throw fail(errors.badData(name, why, remedy));
}

/** The options of a step that are those of training; other methods have a few of them. */
const optionsOf = ({ options }: Step): Partial<TrainOptions> => options;

/** What decides the objective, with the defaults of training where the method has no such option. */
function lossOf(step: Step): Pick<TrainOptions, "loss" | "hints" | "smoothing"> {
  const { loss = "auto", hints = [], smoothing = 0 } = optionsOf(step);
  return { loss, hints, smoothing };
}

/** A few records, or as many as the model's fixed batch size asks for. */
function someRecords(model: Model, { length }: Dataset): number[] {
  const count = fixedBatchOf(model) ?? Math.min(few, length);
  return Array.from({ length: count }, (_, i) => i % length);
}

/** Throws "bad-option" if the teacher does not take the records, or its output is no such scores. */
async function checkTeacher(
  teacher: Model,
  output: Value,
  { inputs, size }: Batch,
  { size: wanted }: Tensor,
  { runtime, threads }: Environment,
): Promise<void> {
  const refuse = (why: string, cause?: unknown) =>
    fail(errors.badOption("--teacher", why, "Give one for the same inputs and classes"), cause);
  const asked = { output: null, hints: [output], classes: null, draws: 0 };
  const session = await runtime.open({ bytes: teacherBytes(teacher, asked) }, { threads });
  try {
    const indices = Array.from({ length: size }, (_, i) => i);
    const [scores] = await createTeacher([session], null).teach(indices, inputs, 0);
    if (scores.size === wanted) return;
    throw refuse(`gives ${scores.size / size} scores for a record, the model ${wanted / size}`);
  } catch (cause) {
    if (!(cause instanceof TersorError) || cause.where === "--teacher") throw cause;
    throw refuse(`does not take these records (${cause.what})`, cause);
  } finally {
    await session.close();
  }
}
