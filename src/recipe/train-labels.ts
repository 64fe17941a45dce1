/** @file Labels in the form that the losses of training take, checked against the classes. */
import { type Batch, type Dataset, recordName } from "../data/dataset.ts";
import { errors, fail } from "../errors.ts";
import { type Tensor, tensor } from "../ir/tensor.ts";
import type { Task } from "../measure/task.ts";
import type { Objective } from "../train/objective.ts";
import { ignoreIndex } from "../util/ignore-index.ts";

/** What a run of training has to know of its labels. */
export interface Labelling {
  readonly task: Pick<Task, "kind" | "classes" | "oneHot">;
  readonly objective: Pick<Objective, "id" | "label" | "ignores">;
}

/**
 * Checks the labels of all records where they are known without reading the records. Throws
 * TersorError "label-out-of-range".
 */
export function checkLabels(dataset: Dataset, { task, objective }: Labelling): void {
  const holds = checkOf(task, objective);
  const wrong = dataset.labels?.findIndex((label) => !holds(label)) ?? -1;
  if (wrong >= 0) throw outOfRange(dataset, wrong, dataset.labels?.[wrong] as number, task);
}

/**
 * The label of a batch in the form that the losses take: float32 targets of the label's own shape;
 * float32 [records] for a single score; otherwise int64 class indices [rows], also for one-hot
 * labels. `indices` are the numbers of the records in the dataset. Throws TersorError
 * "label-out-of-range" for a class that the model lacks; -100 marks padding.
 */
export function labelOf(
  { label }: Batch,
  { task, objective }: Labelling,
  dataset: Dataset,
  indices: readonly number[],
): Tensor {
  const given = label as Tensor;
  const values = Array.from(
    task.oneHot ? indicesOf(given, task.classes as number) : given.numbers(),
  );
  const holds = checkOf(task, objective);
  const wrong = values.findIndex((value) => !holds(value));
  if (wrong >= 0) {
    const record = indices[Math.floor((wrong * indices.length) / values.length)];
    throw outOfRange(dataset, record, values[wrong], task);
  }
  if (task.kind === "target") return tensor("float32", given.shape, given.floats());
  if (task.kind === "binary") return tensor("float32", [given.size], given.floats());
  return tensor(
    "int64",
    [values.length],
    BigInt64Array.from(values, (value) => BigInt(Math.round(value))),
  );
}

/** How many rows of a label count: those that are not padding, where padding is left out at all. */
export function rowsOf(label: Tensor | undefined, { objective }: Labelling): number | null {
  if (!label || !objective.ignores) return null;
  return Array.from(label.numbers()).filter((value) => value !== ignoreIndex).length;
}

/** A test for labels that a loss can learn. */
function checkOf(
  { classes }: Labelling["task"],
  { id, label, ignores }: Labelling["objective"],
): (value: number) => boolean {
  // Where labels only tell padding from the rest, and for squared errors, any number will do.
  if (!label || id === "mse") return () => true;
  if (id === "bce")
    return (value) => (ignores && value === ignoreIndex) || (value >= 0 && value <= 1);
  const count = classes as number;
  return (value) =>
    value === ignoreIndex || (Number.isInteger(value) && value >= 0 && value < count);
}

/** One-hot rows [records, classes] -> class indices [records]; -1 for a row without a single 1. */
function indicesOf(label: Tensor, classes: number): Float64Array {
  const values = Array.from(label.numbers());
  return Float64Array.from({ length: label.size / classes }, (_, row) => {
    const own = values.slice(row * classes, (row + 1) * classes);
    const isOne = own.filter((value) => value !== 0).length === 1 && own.includes(1);
    return isOne ? own.indexOf(1) : -1;
  });
}

const outOfRange = (
  dataset: Dataset,
  record: number,
  value: number,
  { classes }: Labelling["task"],
) => fail(errors.labelOutOfRange(recordName(dataset, record), value, classes ?? 2));
