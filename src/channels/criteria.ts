/** @file Criteria: how much a channel matters, one entry each in `criteria`. */

import type { Context, Need } from "../context.ts";
import { meansOf, type Source } from "../evidence/pooled.ts";
import type { Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { batchScaleOf } from "../ops/norms.ts";
import { type Candidate, eachElement, type Part } from "./candidates.ts";
import { dataOf } from "./dead.ts";
import { scoreDistance } from "./distance.ts";
import { scoreLasso } from "./lasso.ts";
import { scoreObs } from "./obs.ts";
import { channelAxis } from "./repair.ts";
import { scoreTaylor } from "./taylor.ts";
import { scoreThinet } from "./thinet.ts";

/** One score per unit of a group, the lowest goes first; or the reason why the group has none. */
export type Scores = Float64Array | string;

/** A way to score the units of all candidates; `score` returns one entry for each of them. */
export interface Criterion {
  /** For help texts: what is measured, and where it is from. */
  readonly doc: string;
  /** What the run must provide before the method begins. */
  readonly needs: readonly Need[];
  /**
   * Set if the scores of all groups are in one unit. Under one threshold for the whole model they
   * are then compared as they are, instead of relative to the mean of their group.
   */
  readonly isAbsolute?: true;
  /** Set if batch normalizations must not have been folded into the weights before. */
  readonly readsNorms?: true;
  /** `records` is the largest number of calibration or training records to use. */
  score(
    candidates: readonly Candidate[],
    model: Model,
    context: Context,
    records: number,
  ): Promise<Scores[]> | Scores[];
}

/** A criterion that scores each group by itself, from the weights alone. */
const byGroup = (
  doc: string,
  score: (candidate: Candidate, context: Context) => Scores,
): Criterion => ({
  doc,
  needs: [],
  score: (candidates, _, context) => candidates.map((candidate) => score(candidate, context)),
});

/** How the weights w of a unit become one number: finish(sum of measure(w)). */
interface Norm {
  readonly measure: (w: number) => number;
  readonly finish: (sum: number) => number;
}
const l1: Norm = { measure: Math.abs, finish: (sum) => sum };
const l2: Norm = { measure: (w) => w * w, finish: Math.sqrt };

/**
 * The norm of the filters that make a channel, averaged over the layers that do (Li et al. 2017,
 * arXiv 1608.08710, section 3.1: one layer, l1). Norms are divided by the mean of their layer. Where
 * a batch normalization was folded into the filters, its scale counts with them.
 */
const filterNorm = (doc: string, norm: Norm): Criterion =>
  byGroup(doc, ({ group, makers }) =>
    average(makers.map((part) => perUnit(group.units.length, part, norm))),
  );

/**
 * The norm of all weights that a unit owns, in makers and readers:
 *   score_u = mean over parts p of n_pu / mean_v n_pv
 * so that every layer counts the same, whatever its size (Fang et al. 2023, arXiv 2301.12900,
 * section 3.3).
 */
const groupNorm = (doc: string, norm: Norm): Criterion =>
  byGroup(doc, ({ group, makers, readers }) => {
    const parts = [...makers, ...readers.flatMap(({ part }) => part ?? [])];
    return average(parts.map((part) => perUnit(group.units.length, part, norm)));
  });

function perUnit(units: number, part: Part, { measure, finish }: Norm): Float64Array {
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
 * |gamma| of the batch normalizations that a channel passes, averaged over them: it is the standard
 * deviation of the channel behind it (Liu et al. 2017, network slimming, arXiv 1708.06519).
 */
const scoreGamma = ({ group: { units } }: Candidate): Scores => {
  const scales = units[0].members.flatMap(({ value }, at) =>
    value.tensor && value.consumers.some((node) => batchScaleOf(node) === value)
      ? [{ numbers: value.tensor.numbers(), at }]
      : [],
  );
  if (scales.length === 0) {
    return "has no batch normalization left whose scale ranks them: try criterion=group-l2";
  }
  return Float64Array.from(units, ({ members }) => {
    const gammas = scales.flatMap(({ numbers, at }) =>
      members[at].indices.map((index) => Math.abs(numbers[index])),
    );
    return gammas.reduce((sum, gamma) => sum + gamma, 0) / gammas.length;
  });
};

/**
 * The mean of |x| over what the layers read of a channel, in all calibration records (Molchanov et
 * al. 2017, arXiv 1611.06440, section 2.2: the mean activation, which behind a Relu is the same).
 */
const activation: Criterion = {
  doc: "mean |x| of what the layers read (Molchanov et al. 2017)",
  needs: ["calibration"],
  async score(candidates, model, { observe }, records) {
    const sources = new Map<Value, Source>();
    for (const { readers } of candidates) {
      for (const reader of readers) {
        const data = dataOf(reader);
        if (!data) continue;
        const axis = channelAxis(reader, data);
        sources.set(data, { value: data, axis, each: (g, x) => g.Abs(x) });
      }
    }
    const means = await meansOf(model, [...sources.values()], observe, records);
    return candidates.map(({ group, readers }) => {
      const vectors = readers.flatMap((reader) => {
        const data = dataOf(reader);
        const source = data && sources.get(data);
        const seen = source && means.get(source);
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

const observed = ["calibration"] as const;

/** All criteria, by the value of the option `criterion`. */
export const criteria = {
  "group-l2": groupNorm(
    "l2 norm of all weights that make or read a channel (Fang et al. 2023)",
    l2,
  ),
  "group-l1": groupNorm("the l1 norm of these", l1),
  "filter-l1": filterNorm("l1 norm of the filters that make a channel (Li et al. 2017)", l1),
  "filter-l2": filterNorm("the l2 norm of these", l2),
  fpgm: byGroup(
    "distance of a filter from the others of its layer, whose geometric median goes first (He et al. 2019)",
    ({ group, makers }) => average(makers.map((part) => scoreDistance(part, group.units.length))),
  ),
  "bn-gamma": {
    ...byGroup("scale of the batch normalization behind it (Liu et al. 2017)", scoreGamma),
    isAbsolute: true,
    readsNorms: true,
  },
  activation,
  thinet: {
    doc: "error of the next layers without the channel and those before, chosen greedily (ThiNet, Luo et al. 2017)",
    needs: observed,
    score: scoreThinet,
  },
  lasso: {
    doc: "how large an l1 penalty it takes to drop the channel from the next layers (He et al. 2017)",
    needs: observed,
    score: scoreLasso,
  },
  obs: {
    doc: "error of the next layers when their other weights are refitted, chosen greedily (optimal brain surgeon, Kurtic et al. 2023)",
    needs: observed,
    score: scoreObs,
  },
  taylor: {
    doc: "how much the outputs move when the channel is scaled, by gradients (Molchanov et al. 2019)",
    needs: ["training"],
    isAbsolute: true,
    score: scoreTaylor,
  },
  random: byGroup("the control", ({ group }, { random }) => {
    const draw = random.fork(`${group.name} ${group.id}`);
    return Float64Array.from(group.units, () => draw.float());
  }),
} as const satisfies Record<string, Criterion>;

export type CriterionId = keyof typeof criteria;
export const criterionIds = Object.keys(criteria) as [CriterionId, ...CriterionId[]];
