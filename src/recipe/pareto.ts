/** @file Pareto front: the rows that no other row beats in size, speed and quality at once. */
import type { Result } from "../measure/measurement.ts";
import { knownSpeedup } from "../measure/speed.ts";

/** A quantity of a row, the smaller the better; null or NaN where it was not measured. */
type Cost = (result: Result) => number | null | undefined;

/** The original is what all others are compared with: whatever was measured, it lost nothing. */
const lossOf =
  (own: Cost, none: number): Cost =>
  (row) =>
    row.recipe === "original" ? none : own(row);

const negative = (speed: number | null): number | null => (speed === null ? null : -speed);

/** -SQNR. Equal outputs have no error; JSON has no infinity, so that a resumed row says it by `exact`. */
function errorOf(metric: Result["metric"]): number | null {
  if (metric?.exact) return Number.NEGATIVE_INFINITY;
  return metric?.sqnr == null ? null : -metric.sqnr;
}

/**
 * The three axes of the front. Of each the first quantity is taken that all rows have, because
 * bytes after brotli and raw bytes, or points of accuracy and percent of flips, do not compare. A
 * speed-up whose interval contains 1 counts as 1, or noise would be an advantage.
 */
const axes: readonly (readonly Cost[])[] = [
  [({ bytes }) => bytes.brotli, ({ bytes }) => bytes.raw],
  [({ delta }) => negative(knownSpeedup(delta))],
  [
    lossOf(({ metric }) => metric?.drop, 0),
    lossOf(({ metric }) => metric?.flips, 0),
    lossOf(({ metric }) => errorOf(metric), Number.NEGATIVE_INFINITY),
  ],
];

const isKnown = (cost: number | null | undefined): cost is number =>
  cost !== null && cost !== undefined && !Number.isNaN(cost);

/**
 * The costs of all rows on one axis. If no quantity is known of all rows, it is the one known of
 * most; a row without it counts as the worst, so that it beats no row that was measured.
 */
function costsOn(axis: readonly Cost[], results: readonly Result[]): number[] {
  const known = (cost: Cost): number => results.filter((row) => isKnown(cost(row))).length;
  const best = axis.reduce((a, b) => (known(b) > known(a) ? b : a));
  return results.map((row) => {
    const cost = best(row);
    return isKnown(cost) ? cost : Infinity;
  });
}

/**
 * The recipes on the front, in the order of `results`. A row is off the front if another row is at
 * least as good on all three axes and better on one.
 */
export function paretoOf(results: readonly Result[]): string[] {
  const columns = axes.map((axis) => costsOn(axis, results));
  const beats = (a: number, b: number): boolean =>
    columns.every((costs) => costs[a] <= costs[b]) && columns.some((costs) => costs[a] < costs[b]);
  return results.flatMap(({ recipe }, own) =>
    results.some((_, other) => beats(other, own)) ? [] : [recipe],
  );
}
