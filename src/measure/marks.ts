/** @file The four marks of a result (size, speed, ease, performance) and the survey's own marks. */
import type { Family } from "../methods/method.ts";
import { aboutOf } from "./about.ts";
import type { Mark, Marks, Result } from "./measurement.ts";
import { knownSpeedup } from "./speed.ts";

/**
 * A value at least as good as `good` is marked "o", one at least as good as `fair` "△", others "x".
 * Larger is better for size and speed, smaller for performance (a drop) and ease (strikes).
 */
interface Limits {
  readonly good: number;
  readonly fair: number;
}

/** The limits for the four marks. */
export interface Thresholds {
  /** Compression rate: the original's bytes / the model's bytes. */
  readonly size: Limits;
  /** Speed-up over the original; 1 where its interval contains 1. */
  readonly speed: Limits;
  /** Drop in points: those of an accuracy, dB, or what another metric counts as one. */
  readonly performance: Limits;
  /**
   * Number of strikes, see `easeMark`; `seconds` and `covered` (0..1) are limits for two of them.
   */
  readonly ease: Limits & { readonly seconds: number; readonly covered: number };
}

/** The limits that reports use. */
export const defaultThresholds: Thresholds = {
  size: { good: 2, fair: 1.2 },
  speed: { good: 1.3, fair: 0.95 },
  performance: { good: 0.5, fair: 2 },
  ease: { good: 0, fair: 2, seconds: 600, covered: 0.5 },
};

/** The marks of a result; "?" for an axis that was not measured. */
export function marksOf(
  result: Pick<Result, "alpha" | "delta" | "ease" | "metric">,
  thresholds: Thresholds = defaultThresholds,
): Marks {
  return {
    size: atLeast(result.alpha.bytes, thresholds.size),
    speed: atLeast(knownSpeedup(result.delta), thresholds.speed),
    ease: easeMark(result.ease, thresholds.ease),
    performance: performanceMark(result.metric, thresholds.performance),
  };
}

/**
 * Marks for each family of methods, as we read the survey (arXiv 1710.09282, sections II-VI):
 * reports show them beside the measured ones.
 */
export const opinions: Readonly<Record<Exclude<Family, "other">, Marks>> = {
  quantization: { size: "o", speed: "o", ease: "o", performance: "o" },
  pruning: { size: "o", speed: "x", ease: "x", performance: "o" },
  structured: { size: "o", speed: "o", ease: "x", performance: "x" },
  "low-rank": { size: "o", speed: "o", ease: "x", performance: "o" },
  filters: { size: "o", speed: "o", ease: "o", performance: "△" },
  distillation: { size: "o", speed: "o", ease: "o", performance: "o" },
};

/** Reservations of the survey about such a mark. */
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
 * The mark of the drop. Without labels the percentage of flips is used instead. An accuracy cannot
 * drop by more than that, so few flips give a good mark; many flips prove nothing and give "?".
 * Outputs that equal the original's lose nothing, whatever the metric would be.
 */
function performanceMark(metric: Result["metric"], limits: Limits): Mark {
  if (!metric) return "?";
  // The drop is NaN for a perplexity of outputs that are NaN.
  if (metric.drop !== null) {
    const points = metric.drop / aboutOf(metric).point;
    return Number.isNaN(points) ? "x" : atMost(points, limits);
  }
  if (metric.exact) return "o";
  if (metric.flips === null) return "?";
  const mark = atMost(metric.flips, limits);
  return mark === "x" ? "?" : mark;
}

/**
 * The mark of the strikes: one each if the recipe needed labels, trained, ran longer than
 * `limits.seconds`, or changed less than the share `limits.covered` of the weight bytes.
 */
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
