/** @file Outputs that are compared number by number with a target of their own shape. */

import { dtypes } from "../ir/dtype.ts";
import { type Interval, ratioOfSums } from "../numeric/statistics.ts";
import type { Batch, Item, Judge, Numbers, Output, Verdict } from "./metrics/spec.ts";
import { shapesOf } from "./task.ts";

/** sum (t - y)^2 */
export function noiseOf(output: ArrayLike<number>, target: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < output.length; i++) sum += (output[i] - target[i]) ** 2;
  return sum;
}

/** The mean of the values with its interval. */
export const mean = (values: ArrayLike<number>) =>
  ratioOfSums(values, new Float64Array(values.length).fill(1));

/** What is judged against targets: an output, and by what. */
export interface Target {
  readonly output: string;
  readonly against: "labels" | "original";
  /** Shape of the targets in a batch. */
  readonly shape: readonly number[];
}

/**
 * The output that labels of its own size are the targets of; without labels the first output of
 * floats, whose targets are the original's. A string says why there is none.
 */
export function targetOf({ records, label, outputs }: Batch): Target | string {
  const floats = Object.entries(outputs).filter(([, { dtype }]) => dtypes[dtype].kind === "float");
  if (floats.length === 0) return "the model has no output of floating-point numbers";
  const [output, { shape }] = floats[0];
  if (!label) return { output, against: "original", shape };
  const [found] = floats.find(([, { size }]) => size === label.size) ?? [];
  if (found !== undefined) return { output: found, against: "labels", shape: label.shape };
  const size = label.size / records;
  return `a label of ${size} numbers per record has the size of none of the outputs ${shapesOf(outputs)}`;
}

/**
 * A judge whose value is the mean over records of `score(output, target)`. The drop is that of the
 * records' differences, so that what is hard for both models cancels out.
 */
export function judgeMean(
  { output, against }: Target,
  score: (output: Output, target: Numbers, item: Item) => number,
  extra: () => Partial<Verdict> = () => ({}),
): Judge {
  const own: number[] = [];
  const before: number[] = [];
  let broken = 0;
  return {
    add(item) {
      const original = item.original?.[output];
      const target = against === "labels" ? item.label : original;
      if (!target) return false;
      own.push(score(item.outputs[output], target.values, item));
      if (original) before.push(score(original, target.values, item));
      const isBroken = !item.outputs[output].values.every(Number.isFinite);
      if (isBroken) broken++;
      return isBroken;
    },
    finish: () => ({
      ...meanVerdict(own, before),
      predictions: own.length,
      broken,
      ...extra(),
    }),
  };
}

/** The verdict of a mean over records, with that of the drop where all came with the original's. */
export function meanVerdict(own: readonly number[], before: readonly number[]) {
  const isPaired = before.length === own.length && own.length > 0;
  const { value, ci95 } = mean(own);
  const drops = isPaired ? mean(before.map((score, i) => score - own[i])).ci95 : null;
  const dropCi95: Interval | null = drops;
  return { value, ci95, dropCi95 };
}
