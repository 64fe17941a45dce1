/** @file Sensitivity: how much the outputs change when one group alone loses channels. */

import type { Context } from "../context.ts";
import { distance, outputsOf } from "../evidence/output-shift.ts";
import type { Value } from "../ir/graph.ts";
import { cloneModel, type Model } from "../ir/model.ts";
import type { Builder } from "../ops/builder.ts";
import { removeUnits } from "../ops/coupling.ts";
import { type Candidate, candidatesOf } from "./candidates.ts";
import { coupleChannels } from "./couple.ts";
import type { Scores } from "./criteria.ts";
import { vitalityOf } from "./dead.ts";
import { type RepairId, repairs } from "./repair.ts";

/**
 * Shares of a group's units that are removed for a trial; the error is interpolated between them.
 */
const SHARES = [0.125, 0.25, 0.5, 0.75];
/** Largest number of records for one trial. */
const RECORDS = 96;
/** This share of the records is for the repair; the outputs on the others are compared. */
const FITTED = 2 / 3;

/** An error that is infinite counts as this one, so that slopes are finite. */
const WORST = 1e6;

/** Beyond the last trial the slope of the curve is multiplied by this. */
const BEYOND = 4;

export interface RepairOptions {
  readonly repair: RepairId;
  readonly records: number;
}

/**
 * Scores in one unit for all groups: the increase of |y' - y|^2 / |y|^2 of the model's outputs that
 * the next unit causes, when all units of its group with lower `given` scores are removed and the
 * repair is done (Li et al. 2017, arXiv 1608.08710, section 3.2, which measures accuracy instead).
 *
 * `all` are the candidates of the model as `candidatesOf` returns them, `candidates` the ones of
 * them that may be pruned; `given` are their scores by another criterion, which fix the order of
 * units within a group. Groups without a score keep their reason.
 */
export async function bySensitivity(
  model: Model,
  all: readonly Candidate[],
  candidates: readonly Candidate[],
  given: readonly Scores[],
  trial: RepairOptions,
  context: Context,
): Promise<Scores[]> {
  const records = await countRecords(model, Math.min(RECORDS, trial.records), context);
  const own = { ...trial, records: Math.max(1, Math.floor(FITTED * records)) };
  // The repair is fitted to the first records, so errors on them would be too small.
  const judged = { from: Math.min(own.records, records - 1), to: records };
  const expected = await outputsOf(model, judged, context.observe);
  const scores: Scores[] = [];
  for (const [i, score] of given.entries()) {
    if (typeof score === "string") {
      scores.push(score);
      continue;
    }
    const { length } = score;
    const order = [...score.keys()].sort((a, b) => score[a] - score[b] || a - b);
    const curve: Point[] = [{ count: 0, error: 0 }];
    for (const [j, share] of SHARES.entries()) {
      await context.progress(i * SHARES.length + j, given.length * SHARES.length);
      const count = Math.min(length - 1, Math.round(share * length));
      if (count <= (curve.at(-1) as Point).count) continue;
      const pruned = cloneModel(model);
      const twin = candidatesOf(pruned, coupleChannels(pruned))[all.indexOf(candidates[i])];
      await removeAlone(pruned, twin, order.slice(0, count), own, context);
      const error = distance(expected, await outputsOf(pruned, judged, context.observe));
      curve.push({ count, error: Math.min(error, WORST) });
    }
    const slopes = slopesOf(curve, length);
    const worth = new Float64Array(length);
    // Units on the same line segment have equal slopes; they keep the order of the given scores.
    for (const [rank, unit] of order.entries()) worth[unit] = slopes[rank] + rank * 1e-12;
    scores.push(worth);
  }
  return scores;
}

/**
 * Removes units of one group from a copy of the model and repairs it, without messages or progress.
 */
async function removeAlone(
  model: Model,
  candidate: Candidate,
  units: readonly number[],
  { repair, records }: RepairOptions,
  context: Context,
): Promise<void> {
  const quiet = { ...context, skip() {}, warn() {}, progress: async () => {} };
  const removed = { candidate, units, vitality: vitalityOf(candidate) };
  const finish = await repairs[repair](model, [removed], quiet, records);
  await finish(removeUnits(model, [{ group: candidate.group, units }]));
}

/** How many calibration records there are, up to `records`. */
async function countRecords(model: Model, records: number, { observe }: Context): Promise<number> {
  let seen = 0;
  const [input] = model.graph.inputs;
  const sizes = { value: input, of: (g: Builder, x: Value) => g.Shape(x) };
  await observe(model, [sizes], (_, __, fed) => void (seen += fed.records), records);
  return seen;
}

/** The error after `count` units were removed. */
interface Point {
  readonly count: number;
  readonly error: number;
}

/**
 * What removing the next unit costs, [length]: the slopes of the lower convex hull of `curve`. They
 * increase, so that removing units by ascending slope loses the least error for any number of them.
 * Beyond the last point the slope is `BEYOND` times the last one, since a layer's last channels
 * matter more than those before.
 */
function slopesOf(curve: readonly Point[], length: number): number[] {
  const slope = (a: Point, b: Point): number => (b.error - a.error) / (b.count - a.count);
  const hull: Point[] = [];
  for (const point of curve) {
    for (;;) {
      const [before, last] = hull.slice(-2);
      if (!last || slope(before, last) < slope(last, point)) break;
      hull.pop();
    }
    hull.push(point);
  }
  return Array.from({ length }, (_, rank) => {
    const found = hull.findIndex(({ count }) => count > rank);
    const to = found < 0 ? hull.length - 1 : found;
    const last = to < 1 ? 0 : Math.max(0, slope(hull[to - 1], hull[to]));
    return found < 0 ? BEYOND * last : last;
  });
}
