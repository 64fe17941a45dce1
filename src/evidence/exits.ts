/** @file Exits: when a smaller classifier is sure enough to answer in the place of a model. */
import type { Observe } from "../context.ts";
import type { Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import { exp } from "../numeric/exp.ts";
import type { Builder } from "../ops/builder.ts";
import { outputsOf } from "./output-shift.ts";

/** From which probability on an exit answers. */
export interface Exit {
  readonly threshold: number;
  /** Share of the calibration records that take it. */
  readonly taken: number;
}

/**
 * The least probability from which the classifier may answer. Of the records sorted by how sure it
 * is, as many take the exit as leave at most `flips` percent of all answers changed.
 */
export async function calibrateExit(
  model: Model,
  early: Value,
  flips: number,
  observe: Observe,
): Promise<Exit | null> {
  const twins = new Map<Value, Value>();
  const graph = cloneGraph(model.graph, twins);
  graph.setOutputs([graph.outputs[0], twins.get(early) as Value]);
  const [late, scores] = await outputsOf(
    { ...model, graph },
    { from: 0, to: Number.POSITIVE_INFINITY },
    observe,
  );
  return thresholdFor(late, scores, model.graph.outputs[0].shape?.[1] as number, flips);
}

/** `late` and `scores` are those of the model and of the exit [records, classes]. */
export function thresholdFor(
  late: ArrayLike<number>,
  scores: ArrayLike<number>,
  classes: number,
  flips: number,
): Exit | null {
  const count = late.length / classes;
  const records = Array.from({ length: count }, (_, n) => {
    const best = (all: ArrayLike<number>): number => {
      let found = 0;
      for (let c = 1; c < classes; c++) {
        if (all[n * classes + c] > all[n * classes + found]) found = c;
      }
      return found;
    };
    const own = best(scores);
    let sum = 0;
    for (let c = 0; c < classes; c++) {
      sum += exp(scores[n * classes + c] - scores[n * classes + own]);
    }
    return { sure: 1 / sum, isWrong: own !== best(late) };
  }).sort((a, b) => b.sure - a.sure);
  const allowed = (flips / 100) * count;
  let wrong = 0;
  let taken = 0;
  for (const [i, { isWrong, sure }] of records.entries()) {
    if (isWrong) wrong++;
    if (wrong > allowed) break;
    // Records that are equally sure take the exit together or not at all.
    if (records[i + 1]?.sure !== sure) taken = i + 1;
  }
  return taken === 0 ? null : { threshold: records[taken - 1].sure, taken: taken / count };
}

/** Whether all records of the batch are sure, a bool of one element. */
export function isSure(g: Builder, scores: Value, threshold: number): Value {
  const probabilities = g.Softmax(scores, { axis: -1 });
  const least = g.ReduceMin(
    g.ReduceMax(probabilities, g.ints([-1], "axes"), { keepdims: 0 }),
    null,
    { keepdims: 0 },
  );
  return g.GreaterOrEqual(least, g.constant(lowered(threshold)));
}

/** A little below, because the engine's softmax rounds differently. */
const lowered = (threshold: number): number => threshold * (1 - 1e-6);

/** What a user should know of an exit; `share` is that of the multiplications in front of it. */
export function tellExit(name: string, share: number | null, { threshold, taken }: Exit): string {
  const percent = (part: number) => `${Number((100 * part).toPrecision(3))} %`;
  const where = share === null ? name : `exit behind ${name}, ${percent(share)} of the work`;
  return `${where}: ${percent(taken)} of the calibration records take it, from a probability of ${threshold.toPrecision(3)}`;
}
