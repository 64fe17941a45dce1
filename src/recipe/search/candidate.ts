/** @file Candidate: a recipe with a cheap first measurement, and which of several is better. */
import type { Metric, Result } from "../../measure/measurement.ts";
import { metrics } from "../../measure/metrics/index.ts";
import type { Step } from "../steps.ts";
import { excessOf, type Target } from "../target.ts";
import { type Aim, costsOf, objective } from "./aim.ts";

/** What was measured of a recipe on a few calibration records, without training. Plain data. */
export interface Screened {
  readonly recipe: string;
  /** Null where the recipe did nothing or failed; `reason` says why. */
  readonly row: Result | null;
  readonly reason: string | null;
  /** Whether it was given up because it took too long (default false). */
  readonly isSlow?: boolean;
  /** Its share of the time that passed: see `sharedTime`. */
  readonly seconds: number;
}

export interface Candidate {
  readonly recipe: string;
  readonly steps: readonly Step[];
  /** A row with the fields that were screened; the others are those of the original. */
  readonly row: Result;
}

/** The sum of the excesses over all targets; 0 where all are met. */
export const violation = (targets: readonly Target[], row: Result): number =>
  targets.reduce((sum, target) => sum + excessOf(target, row), 0);

/** Negative if `a` is better: it misses the targets by less, or by as much and suits the goal more. */
export function compareRows(aim: Aim, a: Result, b: Result): number {
  const [missedA, missedB] = [violation(aim.targets, a), violation(aim.targets, b)];
  if (missedA !== missedB) return missedA < missedB ? -1 : 1;
  const [costA, costB] = [objective(aim, a), objective(aim, b)];
  return costA === costB ? 0 : costA < costB ? -1 : 1;
}

/**
 * The best `count` of the candidates by NSGA-II (Deb et al. 2002): fronts of those that none other
 * beats, and within the last front those with most room around them. Among candidates that miss
 * the targets, one that misses them by less beats the other.
 */
export function select(aim: Aim, candidates: readonly Candidate[], count: number): Candidate[] {
  const entries = candidates.map((candidate) => ({
    candidate,
    missed: violation(aim.targets, candidate.row),
    costs: costsOf(aim, candidate.row),
  }));
  const chosen: Candidate[] = [];
  let rest = entries;
  while (rest.length > 0 && chosen.length < count) {
    const front = rest.filter((one) => !rest.some((other) => beats(other, one)));
    const room = count - chosen.length;
    const spread = front.length > room ? bySpread(front) : front;
    chosen.push(...spread.slice(0, room).map(({ candidate }) => candidate));
    rest = rest.filter((one) => !front.includes(one));
  }
  return chosen;
}

interface Entry {
  readonly candidate: Candidate;
  readonly missed: number;
  readonly costs: readonly number[];
}

function beats(a: Entry, b: Entry): boolean {
  if (a.missed !== b.missed) return a.missed < b.missed;
  return a.costs.every((cost, i) => cost <= b.costs[i]) && a.costs.some((c, i) => c < b.costs[i]);
}

/** The entries of a front, those with the largest crowding distance first. */
function bySpread<E extends Entry>(front: readonly E[]): E[] {
  const distance = new Map(front.map((entry) => [entry, 0]));
  for (let axis = 0; axis < front[0].costs.length; axis++) {
    const sorted = [...front].sort((a, b) => a.costs[axis] - b.costs[axis]);
    const range = sorted[sorted.length - 1].costs[axis] - sorted[0].costs[axis];
    for (const [i, entry] of sorted.entries()) {
      const [before, after] = [sorted[i - 1], sorted[i + 1]];
      const gap = before && after ? (after.costs[axis] - before.costs[axis]) / (range || 1) : 1e9;
      distance.set(entry, (distance.get(entry) as number) + gap);
    }
  }
  return [...front].sort((a, b) => (distance.get(b) as number) - (distance.get(a) as number));
}

/**
 * The metric with a drop that is less noisy than that of a few hundred records. Most changed
 * predictions cost nothing: `lost` is how many points a percent of them costs, over all candidates.
 * The estimate is the mean of the drop that was seen and of the one that the flips tell.
 */
export function steadied(metric: Metric, lost: number): Metric {
  const { name, drop, flips, baseline } = metric;
  const counts = metrics.get(name)?.countsFlips === true;
  if (!counts || drop === null || flips === null || baseline === null) return metric;
  const steady = Math.max(0, (drop + lost * flips) / 2);
  return { ...metric, drop: steady, value: baseline - steady };
}
