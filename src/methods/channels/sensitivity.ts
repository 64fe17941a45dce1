/** @file Sensitivity: how far the outputs move when one group alone loses its least channels. */
import type { Model } from "../../ir/model.ts";
import type { Tensor } from "../../ir/tensor.ts";
import type { Removal } from "../../ops/coupling.ts";
import type { Context, Observe } from "../method.ts";
import { without } from "./budget.ts";
import type { Candidate } from "./candidates.ts";
import type { Scores } from "./criteria.ts";

/** Shares at which each group is tried; straight lines lie between. */
const SHARES = [0.125, 0.25, 0.5, 0.75];
/** Records whose outputs are compared. */
const RECORDS = 32;

/**
 * Scores in a common unit for all groups: a unit of rank k of n is worth what the outputs lose,
 * |y' - y|^2 / |y|^2, when the k + 1 least go (Li et al. 2017, arXiv 1608.08710, section 3.2, by the
 * outputs instead of the accuracy). One threshold then takes most where it is felt least.
 */
export async function bySensitivity(
  model: Model,
  candidates: readonly Candidate[],
  given: readonly Scores[],
  records: number,
  context: Context,
): Promise<Scores[]> {
  const observe = context.observe as Observe;
  const outputsOf = async (of: Model): Promise<Float32Array[]> => {
    const seen: Float32Array[] = [];
    const taps = of.graph.outputs.map((value) => ({ value }));
    const keep = (_: unknown, batch: Tensor): void => void seen.push(batch.floats().slice());
    await observe(of, taps, keep, Math.min(RECORDS, records));
    return seen;
  };
  const expected = await outputsOf(model);
  const scores: Scores[] = [];
  for (const [i, score] of given.entries()) {
    await context.progress(i, given.length);
    if (typeof score === "string") {
      scores.push(score);
      continue;
    }
    const { length } = score;
    const order = [...score.keys()].sort((a, b) => score[a] - score[b] || a - b);
    const curve: [count: number, error: number][] = [[0, 0]];
    for (const share of SHARES) {
      const count = Math.min(length - 1, Math.round(share * length));
      const [known, before] = curve.at(-1) as [number, number];
      if (count <= known) continue;
      const removal: Removal = { group: candidates[i].group, units: order.slice(0, count) };
      const error = distance(expected, await outputsOf(without(model, [removal])));
      curve.push([count, Math.max(before, error)]);
    }
    const worth = new Float64Array(length);
    for (const [rank, unit] of order.entries()) worth[unit] = at(curve, rank + 1);
    scores.push(worth);
  }
  return scores;
}

/** Between two points of the curve, or on from the last two; always a little more. */
function at(curve: readonly (readonly [number, number])[], count: number): number {
  const next = Math.max(
    1,
    curve.findIndex(([known]) => known >= count),
  );
  const to = curve.some(([known]) => known >= count) ? next : curve.length - 1;
  if (to < 1) return count;
  const [[a, low], [b, high]] = [curve[to - 1], curve[to]];
  return low + ((high - low) * (count - a)) / (b - a) + count * 1e-12;
}

function distance(expected: readonly Float32Array[], actual: readonly Float32Array[]): number {
  let [error, energy] = [0, 0];
  for (const [i, batch] of expected.entries()) {
    for (let k = 0; k < batch.length; k++) {
      error += (actual[i][k] - batch[k]) ** 2;
      energy += batch[k] ** 2;
    }
  }
  return error / (energy || 1);
}
