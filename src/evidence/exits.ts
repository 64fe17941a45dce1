/** @file Exits: when a smaller classifier is sure enough to answer in the place of a model. */
import { z } from "zod";
import type { Context, Observe, Records } from "../context.ts";
import type { Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import { exitEarly } from "../layers/branch.ts";
import { argmax } from "../numeric/argmax.ts";
import { exp } from "../numeric/exp.ts";
import { type Builder, build } from "../ops/builder.ts";
import { inferNode } from "../ops/infer.ts";
import { percent } from "../util/percent.ts";
import { outputsOf } from "./output-shift.ts";

/** From which probability on an exit answers. */
export interface Exit {
  readonly threshold: number;
  /** Share of the records that take it. */
  readonly taken: number;
}

/** The option of methods that add an exit. */
export const flipsOption = z
  .number()
  .min(0)
  .max(100)
  .default(1)
  .meta({
    description:
      "Percent of the answers that may change, on records that the classifier was not trained on.",
    search: [0.5, 1, 2],
  });

/** A classifier in a model, and how its exit is told. */
export interface Exiting {
  /** e(x), scores [N, C]. */
  readonly scores: Value;
  /** What the model gives where the exit is taken. */
  output(g: Builder): Value;
  /** What the exit is called, and a node of the model that stands for it in skips. */
  readonly name: string;
  readonly node: string;
  /** Completes the node's skip where the classifier is sure of nothing. */
  readonly unsure: string;
  readonly work: Work;
  /** Records that the classifier was not trained on; of others it would look surer than it is. */
  readonly records: Records;
}

/**
 * Puts what the classifier does not depend on behind an If that is skipped where it is sure (branch.ts),
 * from the threshold on that `flips` allows, and tells that; or skips the node with the reason.
 */
export async function addExit(
  model: Model,
  { scores, output, name, node, unsure, work, records }: Exiting,
  flips: number,
  context: Context,
): Promise<void> {
  const exit = await calibrateExit(model, scores, flips, records, context.observe);
  if (exit === null) {
    context.skip(node, unsure);
    return;
  }
  const g = build(model.graph, "exit", inferNode);
  const why = exitEarly(model.graph, isSure(g, scores, exit.threshold), output(g));
  if (why) context.skip(node, why);
  else context.warn(tellExit(name, work, exit));
}

/**
 * The least probability from which the classifier may answer. Of the records sorted by how sure it
 * is, as many take the exit as leave at most `flips` percent of all answers changed.
 */
async function calibrateExit(
  model: Model,
  early: Value,
  flips: number,
  records: Records,
  observe: Observe,
): Promise<Exit | null> {
  const twins = new Map<Value, Value>();
  const graph = cloneGraph(model.graph, twins);
  graph.setOutputs([graph.outputs[0], twins.get(early) as Value]);
  const [late, scores] = await outputsOf({ ...model, graph }, records, observe);
  return thresholdFor(late, scores, model.graph.outputs[0].shape?.[1] as number, flips);
}

type Scores = Float32Array | readonly number[];

/** `late` and `scores` are those of the model and of the exit [records, classes]. */
export function thresholdFor(
  late: Scores,
  scores: Scores,
  classes: number,
  flips: number,
): Exit | null {
  const count = late.length / classes;
  const records = Array.from({ length: count }, (_, n) => {
    const [own, other] = [scores, late].map((all) => all.slice(n * classes, (n + 1) * classes));
    const best = argmax(own);
    let sum = 0;
    for (const score of own) sum += exp(score - own[best]);
    return { sure: 1 / sum, isWrong: best !== argmax(other) };
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
function isSure(g: Builder, scores: Value, threshold: number): Value {
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

/** Work in multiplications, as shares of what the model has without the exit. */
export interface Work {
  /** The part of the model in front of the exit, which runs for every record. */
  readonly front: number;
  /** What the exit adds to it: its classifier, or a smaller model. Null where that is unknown. */
  readonly added: number | null;
}

/** The share by which `after` has more multiplications than `before`. */
export const addedTo = (before: number | null, after: number | null): number | null =>
  before && after ? after / before - 1 : null;

/** What a user should know of an exit. */
export function tellExit(name: string, { front, added }: Work, { threshold, taken }: Exit): string {
  const where = front === 0 ? name : `exit behind ${name}, ${percent(front)} of the work`;
  const taking = `${where}: ${percent(taken)} of the calibration records take it, from a probability of ${threshold.toPrecision(3)}`;
  if (added === null) return taking;
  const average = front + added + (1 - taken) * (1 - front);
  const told = `${taking}; what decides adds ${percent(added)} of the work, so that a record takes ${percent(average)} on average`;
  return average < 1 ? told : `${told}, which is no gain: allow more flips, or make it smaller`;
}
