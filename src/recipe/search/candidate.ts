/** @file Candidate: a recipe with a cheap first measurement, and which of several is better. */
import type { Metric, Result } from "../../measure/measurement.ts";
import { metrics } from "../../measure/metrics/index.ts";
import type { Step } from "../steps.ts";
import { amountOf, excessOf, kindOf, type Target } from "../target.ts";

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

/**
 * How much worse the outputs are: the drop where there are labels, else percent of changed
 * predictions, else decibels of the error.
 */
export function lossOf({ metric }: Pick<Result, "metric">): number {
  if (metric === null) return 0;
  const { drop, flips, sqnr } = metric;
  return drop ?? flips ?? (sqnr === null ? 0 : -sqnr);
}

/** The sum of the excesses over all targets; 0 where all are met. */
export const violation = (targets: readonly Target[], row: Result): number =>
  targets.reduce((sum, target) => sum + excessOf(target, row), 0);

/**
 * What a search makes least once the targets are met: the quantity of the first target on size or
 * speed where the quality is limited too, the loss where it is not, and the raw bytes where nothing
 * but the quality is limited.
 */
export function objective(targets: readonly Target[], row: Result): number {
  const limited = targets.find((target) => kindOf(target) !== "quality");
  if (limited && !targets.some((target) => kindOf(target) === "quality")) return lossOf(row);
  if (!limited) return row.bytes.raw;
  const value = amountOf(limited, row) ?? Infinity;
  return limited.quantity === "speedup" ? -value : value;
}

/** Negative if `a` is better: it misses the targets by less, or it meets them and is smaller. */
export function compareRows(targets: readonly Target[], a: Result, b: Result): number {
  const [missedA, missedB] = [violation(targets, a), violation(targets, b)];
  if (missedA !== missedB) return missedA < missedB ? -1 : 1;
  return objective(targets, a) - objective(targets, b);
}

/** What counts as cost of a row: bytes and lost quality, and time where a target is on speed. */
function costsOf(targets: readonly Target[], row: Result): number[] {
  const sized = targets.find((target) => kindOf(target) === "size");
  const isTimed = targets.some((target) => kindOf(target) === "speed");
  const size = (sized && amountOf(sized, row)) ?? row.bytes.raw;
  return [size, lossOf(row), ...(isTimed ? [-(row.delta.infer ?? 0)] : [])];
}

/**
 * The best `count` of the candidates by NSGA-II (Deb et al. 2002): fronts of those that none other
 * beats, and within the last front those with most room around them. Among candidates that miss
 * the targets, one that misses them by less beats the other.
 */
export function select(
  targets: readonly Target[],
  candidates: readonly Candidate[],
  count: number,
): Candidate[] {
  const entries = candidates.map((candidate) => ({
    candidate,
    missed: violation(targets, candidate.row),
    costs: costsOf(targets, candidate.row),
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
