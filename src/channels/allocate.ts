/** @file How many units each group keeps: one share for all, or one threshold, rounded to what pays. */
import type { Context } from "../context.ts";
import type { Candidate } from "./candidates.ts";

export interface Share {
  readonly ratio: number;
  readonly allocation: "uniform" | "global" | "sensitivity";
  /** 0: what the target rewards. */
  readonly round: number;
}

/** Groups that a common threshold would empty keep a tenth. */
const FLOOR = 0.1;

export interface Ranked {
  readonly candidate: Candidate;
  readonly score: Float64Array;
  /** What one unit costs: a group gives up first what is worth least for its price. */
  readonly price: number;
  /** Units that are worth nothing: no group keeps them but to fill a block. */
  readonly dead: number;
}

/** Units that each group keeps. */
export function allocate(
  groups: readonly Ranked[],
  { ratio, allocation, round }: Share,
  target: Context["target"],
): number[] {
  const scores = groups.map(({ score }) => score);
  const wanted =
    allocation === "uniform"
      ? scores.map(({ length }) => length - Math.round(ratio * length))
      : byThreshold(groups, ratio, allocation === "global");
  return groups.map(({ candidate, score: { length }, dead }, i) => {
    const count = Math.max(1, Math.min(wanted[i], length - dead));
    const kept = round > 0 ? roundUp(count, round) : aligned(candidate, count, target);
    return Math.min(length, kept);
  });
}

/** `isRelative`: what groups are worth on average counts alike, whatever they cost. */
function byThreshold(groups: readonly Ranked[], ratio: number, isRelative: boolean): number[] {
  const all = groups.flatMap(({ score: each, price }, group) => {
    const mean = each.reduce((a, b) => a + b, 0) / each.length;
    const unit = (isRelative ? mean : price) || 1;
    return Array.from(each, (score) => ({ score: score / unit, group }));
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

/** Native convolutions work on blocks of channels; matrix products and the web have none. */
export const hasBlocks = ({ makers }: Candidate, target: Context["target"]): boolean =>
  target === "node" && makers.some(({ use }) => use.role.kind.startsWith("conv"));

/**
 * Blocks of 16, then 8 and 4 channels, which is what kernels reward in this order (docs/benchmarks.md, widths): the
 * largest that does not move the wanted count by more than a sixteenth of the layer.
 */
function aligned(candidate: Candidate, count: number, target: Context["target"]): number {
  if (!hasBlocks(candidate, target)) return count;
  const size = candidate.group.units.length;
  const multiples = [16, 8, 4].map((step) => Math.max(step, Math.round(count / step) * step));
  return multiples.find((near) => near < size && Math.abs(near - count) <= size / 16) ?? count;
}
