/** @file The four marks of a row (size, speed, ease, performance), and the survey's opinions beside them. */
import type { Family } from "../methods/method.ts";
import type { Mark, Marks, Result } from "./measurement.ts";

/** "o" from `good` on, "△" from `fair` on, "x" beyond; for performance the drop counts, so less is better. */
interface Limits {
  readonly good: number;
  readonly fair: number;
}

export interface Thresholds {
  /** Original bytes / bytes. */
  readonly size: Limits;
  /** Original milliseconds / milliseconds. */
  readonly speed: Limits;
  /** Drop in the metric's own unit: percent points, dB, perplexity. */
  readonly performance: Limits;
  /** Strikes, see `easeMark`. */
  readonly ease: Limits & { readonly seconds: number; readonly covered: number };
}

export const defaultThresholds: Thresholds = {
  size: { good: 2, fair: 1.2 },
  speed: { good: 1.3, fair: 0.95 },
  performance: { good: 0.5, fair: 2 },
  ease: { good: 0, fair: 2, seconds: 600, covered: 0.5 },
};

/** Marks of what was measured; "?" where it was not. */
export function marksOf(
  result: Pick<Result, "alpha" | "delta" | "ease" | "metric">,
  thresholds: Thresholds = defaultThresholds,
): Marks {
  return {
    size: atLeast(result.alpha.bytes, thresholds.size),
    speed: atLeast(result.delta.infer, thresholds.speed),
    ease: easeMark(result.ease, thresholds.ease),
    performance: performanceMark(result.metric, thresholds.performance),
  };
}

/** The survey, as its reader sums it up: one row a family (arXiv 1710.09282, sections II-VI). */
export const opinions: Readonly<Record<Exclude<Family, "other">, Marks>> = {
  quantization: { size: "o", speed: "o", ease: "o", performance: "o" },
  pruning: { size: "o", speed: "x", ease: "x", performance: "o" },
  structured: { size: "o", speed: "o", ease: "x", performance: "x" },
  "low-rank": { size: "o", speed: "o", ease: "x", performance: "o" },
  filters: { size: "o", speed: "o", ease: "o", performance: "△" },
  distillation: { size: "o", speed: "o", ease: "o", performance: "o" },
};

/** What the survey adds to an opinion. */
export const opinionNotes: { readonly [F in keyof typeof opinions]?: string } = {
  quantization: "binary nets: x in performance on large CNNs",
  filters: "performance depends on the architecture",
};

function atLeast(value: number | null, { good, fair }: Limits): Mark {
  if (value === null || Number.isNaN(value)) return "?";
  return value >= good ? "o" : value >= fair ? "△" : "x";
}

function atMost(value: number, { good, fair }: Limits): Mark {
  const rounding = 1e-9; // 98.9 - 98.4 is a little more than 0.5
  return value <= good + rounding ? "o" : value <= fair + rounding ? "△" : "x";
}

/**
 * By the drop. Without labels by the flips, which bound the drop of any accuracy from above: few
 * flips prove a good mark, many prove nothing.
 */
function performanceMark(metric: Result["metric"], limits: Limits): Mark {
  if (!metric) return "?";
  // A perplexity of outputs that are not numbers.
  if (metric.drop !== null) return Number.isNaN(metric.drop) ? "x" : atMost(metric.drop, limits);
  if (metric.flips === null) return "?";
  const mark = atMost(metric.flips, limits);
  return mark === "x" ? "?" : mark;
}

/** One strike each for labelled data, training, a long run, and weights left untouched. */
function easeMark(
  { data, training, seconds, covered }: Result["ease"],
  limits: Thresholds["ease"],
): Mark {
  const strikes = [
    data === "labelled",
    training,
    seconds > limits.seconds,
    covered < limits.covered,
  ].filter(Boolean).length;
  return atMost(strikes, limits);
}
