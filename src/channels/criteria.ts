/** @file Criteria: how much a channel matters, one entry each in `criteria`. */

import type { Context, Need } from "../context.ts";
import type { Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { type Candidate, eachElement, type Part } from "./candidates.ts";
import { dataOf } from "./dead.ts";
import { scoreDistance } from "./distance.ts";
import { scoreLasso } from "./lasso.ts";
import { scoreReconstruction } from "./reconstruction.ts";
import { channelAxis, meansOf } from "./repair.ts";
import { scoreTaylor } from "./taylor.ts";

/** One score per unit of a group, the lowest goes first; or the reason why the group has none. */
export type Scores = Float64Array | string;

/** A way to score the units of all candidates; `score` returns one entry for each of them. */
export interface Criterion {
  /** What the run must provide before the method begins. */
  readonly needs: readonly Need[];
  /** `records` is the largest number of calibration or training records to use. */
  score(
    candidates: readonly Candidate[],
    model: Model,
    context: Context,
    records: number,
  ): Promise<Scores[]> | Scores[];
}

/** A criterion that scores each group by itself, from the weights alone. */
const byGroup = (score: (candidate: Candidate, context: Context) => Scores): Criterion => ({
  needs: [],
  score: (candidates, _, context) => candidates.map((candidate) => score(candidate, context)),
});

/**
 * A norm over all weights that a unit owns, in makers and readers:
 *   score_u = mean over parts p of n_pu / mean_v n_pv,  n_pu = finish(sum of measure(w) over p, u)
 * so that every layer counts the same, whatever its size (Fang et al. 2023, arXiv 2301.12900,
 * section 3.3).
 */
const norm = (measure: (w: number) => number, finish: (sum: number) => number): Criterion =>
  byGroup(({ group, makers, readers }) => {
    const parts = [...makers, ...readers.flatMap(({ part }) => part ?? [])];
    return average(parts.map((part) => perUnit(group.units.length, part, measure, finish)));
  });

function perUnit(
  units: number,
  part: Part,
  measure: (w: number) => number,
  finish: (sum: number) => number,
): Float64Array {
  const weights = part.weight.numbers();
  return Float64Array.from({ length: units }, (_, unit) => {
    let sum = 0;
    eachElement(part, part.indices(unit), (element) => {
      sum += measure(weights[element]);
    });
    return finish(sum);
  });
}

/**
 * The mean of score vectors [units], each divided by its own mean first, because layers differ in
 * size and scale. A vector of zeros contributes nothing.
 */
export function average(vectors: readonly Float64Array[]): Float64Array {
  const result = new Float64Array(vectors[0]?.length ?? 0);
  for (const vector of vectors) {
    const mean = vector.reduce((a, b) => a + b, 0) / vector.length;
    for (let i = 0; i < result.length && mean > 0; i++)
      result[i] += vector[i] / mean / vectors.length;
  }
  return result;
}

/**
 * |gamma| of the normalization that a channel passes: a channel with a small scale has small
 * outputs (Liu et al. 2017, network slimming, arXiv 1708.06519).
 */
const gamma = byGroup(({ group }) => {
  const scales = group.units[0].members.flatMap(({ value, axis }, at) =>
    value.tensor &&
    value.consumers.some((node) => node.op.endsWith("Normalization") && node.inputs[1] === value)
      ? [{ numbers: value.tensor.numbers(), at, axis }]
      : [],
  );
  if (scales.length === 0)
    return "has no normalization left whose scale ranks them: try criterion=l2";
  return average(
    scales.map(({ numbers, at }) =>
      Float64Array.from(group.units, ({ members }) =>
        members[at].indices.reduce((sum, index) => sum + Math.abs(numbers[index]), 0),
      ),
    ),
  );
});

/**
 * The mean magnitude of what the layers read, per channel, over the calibration records (Hu et al.
 * 2016, arXiv 1607.03250, who count zeros instead).
 */
const activation: Criterion = {
  needs: ["calibration"],
  async score(candidates, model, { observe }, records) {
    const axes = new Map<Value, number>();
    for (const { readers } of candidates) {
      for (const reader of readers) {
        const data = dataOf(reader);
        if (data) axes.set(data, channelAxis(reader, data));
      }
    }
    const means = await meansOf(model, axes, true, observe, records);
    return candidates.map(({ group, readers }) => {
      const vectors = readers.flatMap((reader) => {
        const data = dataOf(reader);
        const seen = data && means.get(data);
        const at = group.units[0].members.findIndex(({ value }) => value === data);
        if (!seen || at < 0) return [];
        return [
          Float64Array.from(group.units, ({ members }) =>
            members[at].indices.reduce((sum, index) => sum + seen[index], 0),
          ),
        ];
      });
      return vectors.length > 0 ? average(vectors) : "is read nowhere that could be observed";
    });
  },
};

/** All criteria, by the value of the option `criterion`. */
export const criteria = {
  l1: norm(Math.abs, (sum) => sum),
  l2: norm((w) => w * w, Math.sqrt),
  random: byGroup(({ group }, { random }) => {
    const draw = random.fork(`${group.name} ${group.id}`);
    return Float64Array.from(group.units, () => draw.float());
  }),
  fpgm: byGroup(({ group, makers }) =>
    average(makers.map((part) => scoreDistance(part, group.units.length))),
  ),
  "bn-gamma": gamma,
  activation,
  lasso: { needs: ["calibration"], score: scoreLasso },
  reconstruction: { needs: ["calibration"], score: scoreReconstruction },
  taylor: { needs: ["training"], score: scoreTaylor },
} as const satisfies Record<string, Criterion>;

export type CriterionId = keyof typeof criteria;
export const criterionIds = Object.keys(criteria) as [CriterionId, ...CriterionId[]];
