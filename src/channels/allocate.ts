/** @file How many units each group of channels keeps, rounded to what kernels compute fast. */
import type { Context } from "../context.ts";
import type { Candidate } from "./candidates.ts";

/** The options of `prune-channels` that decide how many units go. */
export interface Share {
  /** Share of units to remove, from 0 to 1: of every group (uniform) or of all groups together. */
  readonly ratio: number;
  readonly allocation: "uniform" | "global" | "sensitivity";
  /** The kept count is rounded up to a multiple of this; 0: to what the target's kernels reward. */
  readonly round: number;
  /** Whether scores are in one unit for all groups, see `Criterion`. */
  readonly isAbsolute: boolean;
}

/** Under a common threshold every group keeps at least this share of its units. */
const FLOOR = 0.1;

/** A group with the scores of its units. */
export interface Ranked {
  readonly candidate: Candidate;
  /** One per unit; the unit with the lowest score is removed first. */
  readonly score: Float64Array;
  /**
   * Cost of one unit in the unit of the budget (MACs, bytes, time). With `allocation:
   * "sensitivity"` scores are divided by it, so that units with the least score per cost are
   * removed first.
   */
  readonly price: number;
  /** How many units are dead (see `Vitality`). They go too, except those that fill up a block. */
  readonly dead: number;
}

/**
 * How many units each group keeps, in the order of `groups`, at least 1.
 *
 * - `uniform`: a group of n units keeps n - round(ratio n).
 * - `global`: one threshold for all groups removes `ratio` of all units. Scores that are in one unit
 *   are compared as they are, others are divided by the mean of their group before. Groups count
 *   alike, whatever their layers cost.
 * - `sensitivity`: scores are divided by the price of a unit, then one threshold as above.
 */
export function allocate(
  groups: readonly Ranked[],
  share: Share,
  target: Context["target"],
): number[] {
  const { ratio, allocation, round } = share;
  const scores = groups.map(({ score }) => score);
  const wanted =
    allocation === "uniform"
      ? scores.map(({ length }) => length - Math.round(ratio * length))
      : byThreshold(groups, share);
  return groups.map(({ candidate, score: { length }, dead }, i) => {
    const count = Math.max(1, Math.min(wanted[i], length - dead));
    const kept = round > 0 ? roundUp(count, round) : aligned(candidate, count, target);
    return Math.min(length, kept);
  });
}

/** The number of units that each group keeps under one threshold. */
function byThreshold(
  groups: readonly Ranked[],
  { ratio, allocation, isAbsolute }: Share,
): number[] {
  const unitOf = ({ score, price }: Ranked): number => {
    if (allocation === "sensitivity") return price;
    return isAbsolute ? 1 : score.reduce((a, b) => a + b, 0) / score.length;
  };
  const all = groups.flatMap((ranked, group) => {
    const unit = unitOf(ranked) || 1;
    return Array.from(ranked.score, (score) => ({ score: score / unit, group }));
  });
  const kept = groups.map(({ score }) => score.length);
  let left = Math.round(ratio * all.length);
  for (const { group } of all.sort((a, b) => a.score - b.score)) {
    if (left === 0) break;
    if (kept[group] - 1 < Math.max(1, FLOOR * groups[group].score.length)) continue;
    kept[group]--;
    left--;
  }
  return kept;
}

export const roundUp = (count: number, step: number): number => Math.ceil(count / step) * step;

/**
 * Whether the count of channels should be a multiple of a block size. Native convolutions compute
 * blocks of channels; matrix products and kernels of some targets do not.
 */
export const hasBlocks = ({ makers }: Candidate, target: Context["target"]): boolean =>
  target.channelBlock > 1 && makers.some(({ use }) => use.role.kind.startsWith("conv"));

/**
 * The multiple of 16, 8 or 4 nearest to `count`: the largest step whose multiple changes the count
 * by at most 1/16 of the layer, or `count` itself. Kernels reward multiples of 16 most, then 8,
 * then 4 (docs/benchmarks.md, widths).
 */
function aligned(candidate: Candidate, count: number, target: Context["target"]): number {
  if (!hasBlocks(candidate, target)) return count;
  const size = candidate.group.units.length;
  const multiples = [16, 8, 4].map((step) => Math.max(step, Math.round(count / step) * step));
  return multiples.find((near) => near < size && Math.abs(near - count) <= size / 16) ?? count;
}
