/** @file Times and speed-ups as text: by which clock, with which interval, and whether they differ. */
import type { ClockKind } from "../measure/clock.ts";
import type { Delta, Latency } from "../measure/measurement.ts";
import { isSame } from "../measure/speed.ts";
import type { Interval } from "../numeric/statistics.ts";
import * as format from "./format.ts";

/** "CPU ms" or "wall ms"; "ms" where nothing was timed. */
export function unitOf(clock: ClockKind | null | undefined): string {
  if (!clock) return "ms";
  return clock === "cpu" ? "CPU ms" : "wall ms";
}

/** Decimals that tell the ends of an interval apart. */
const decimals = ([low, high]: Interval): number =>
  high - low < 0.02 ? 3 : low >= 9.95 && high - low >= 0.2 ? 1 : 2;

const isKnown = (ci95: Interval | null): ci95 is Interval => ci95?.every(Number.isFinite) === true;

/** An interval of factors: 1.93-2.00, 1.003-1.008; "-" for none. */
export function interval(ci95: Interval | null): string {
  return isKnown(ci95) ? ci95.map((end) => end.toFixed(decimals(ci95))).join("-") : "-";
}

/** A speed-up with as many decimals as its interval: 1.96x, 1.005x. */
export function factor(value: number | null, ci95: Interval | null): string {
  const isPaired = value !== null && Number.isFinite(value) && isKnown(ci95);
  return isPaired ? `${value.toFixed(decimals(ci95))}x` : format.ratio(value);
}

/** A speed-up for a sentence: "1.96x, 1.93-2.00", or "no difference, 0.98-1.02". */
export function speedup(value: number | null, ci95: Interval | null): string {
  const known = isSame(ci95) ? "no difference" : factor(value, ci95);
  return ci95 && value !== null ? `${known}, ${interval(ci95)}` : known;
}

/** All of a row's speed-ups of inference: "1.31x, 1.28-1.33; beyond simplifying: 1.21x, 1.19-1.23". */
export function speedups({ infer, recipe, ci95 }: Delta): string {
  const own = recipe === null ? "" : `; beyond simplifying: ${speedup(recipe, ci95.recipe)}`;
  return `${speedup(infer, ci95.infer)}${own}`;
}

/** What the columns of times and speed-ups hold, of which `first` is what all are compared with. */
export function timeNote({ clock, threads, batch }: Latency, first = "the original"): string {
  const by = clock === "cpu" ? "CPU time of the process" : "time on the wall clock";
  const engine = `${format.plural(threads, "thread")}, batch ${batch}`;
  return `${unitOf(clock)}: median of single runs (${by}, ${engine}); each row's is that of ${first} divided by its speed-up. Speed-up: the median of the ratios within rounds that time both, and beside it its 95 % interval; "no difference" means that the interval contains 1.`;
}
