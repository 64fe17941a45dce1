/** @file Criteria: how much a channel matters, one entry each. */

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

/** One score per unit, the lowest goes first; or why this group has none. */
export type Scores = Float64Array | string;

export interface Criterion {
  readonly needs: readonly Need[];
  score(
    candidates: readonly Candidate[],
    model: Model,
    context: Context,
    records: number,
  ): Promise<Scores[]> | Scores[];
}

/** Scores of one group, from weights alone. */
const byGroup = (score: (candidate: Candidate, context: Context) => Scores): Criterion => ({
  needs: [],
  score: (candidates, _, context) => candidates.map((candidate) => score(candidate, context)),
});

/** Norms of all weights that a unit takes, each layer counted alike (Fang et al. 2023, section 3.3). */
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

/** The mean of score vectors, each scaled to a mean of 1: layers differ in size and scale. */
export function average(vectors: readonly Float64Array[]): Float64Array {
  const result = new Float64Array(vectors[0]?.length ?? 0);
  for (const vector of vectors) {
    const mean = vector.reduce((a, b) => a + b, 0) / vector.length;
    for (let i = 0; i < result.length && mean > 0; i++)
      result[i] += vector[i] / mean / vectors.length;
  }
  return result;
}

/** The scale of the normalization that a channel goes through (Liu et al. 2017, arXiv 1708.06519). */
const gamma = byGroup(({ group }) => {
  const scales = group.units[0].members.flatMap(({ value, axis }, at) =>
    value.tensor &&
    value.consumers.some((node) => node.op.endsWith("Normalization") && node.inputs[1] === value)
      ? [{ numbers: value.tensor.numbers(), at, axis }]
      : [],
  );
  if (scales.length === 0)
    return "has no normalization left whose scale could tell: try criterion=l2";
  return average(
    scales.map(({ numbers, at }) =>
      Float64Array.from(group.units, ({ members }) =>
        members[at].indices.reduce((sum, index) => sum + Math.abs(numbers[index]), 0),
      ),
    ),
  );
});

/** Mean magnitude of what the readers read (Hu et al. 2016, arXiv 1607.03250, with means for zeros). */
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
