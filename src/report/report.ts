/** @file Report: all that a survey found, and the rows, picks and groups every format prints from it. */
import type { Thresholds } from "../measure/marks.ts";
import type { GroupChange, Marks, Result } from "../measure/measurement.ts";
import type { Layer, ModelInfo } from "../recipe/inspect.ts";
import type { LayerErrors } from "../recipe/layer-errors.ts";
import type { TrainingRun } from "../recipe/step-context.ts";
import { metricUnit } from "./format.ts";

export type { BenchRun } from "../recipe/bench.ts";
export type { Inspection, Layer, ModelInfo, Port, Totals } from "../recipe/inspect.ts";
export type { LayerErrors } from "../recipe/layer-errors.ts";

export interface Report {
  readonly command: string;
  readonly model: ModelInfo;
  readonly layers: readonly Layer[];
  /** The original, measured like every other row. */
  readonly baseline: Result;
  readonly results: readonly Result[];
  /** Recipes on the Pareto front. */
  readonly pareto: readonly string[];
  readonly errors?: readonly LayerErrors[];
  /** What structured pruning did, group by group. */
  readonly groups?: readonly GroupChange[];
  /** Runs of training, for their loss curves. */
  readonly training?: readonly TrainingRun[];
  readonly thresholds: Thresholds;
  /** The survey's opinion by family. */
  readonly opinions: Readonly<Record<string, Marks>>;
  /** As the user named it; null where no data was given. */
  readonly data: string | null;
  readonly platform: string;
  readonly commandLine: string;
  readonly seconds: number;
  /** ISO 8601; passed in, so that the same survey gives the same report. */
  readonly date: string;
}

/** Families in the order of the survey; the controls come first. */
export const familyTitles: Readonly<Record<string, string>> = {
  control: "controls",
  quantization: "quantization and binarization",
  pruning: "pruning",
  structured: "structured matrices",
  "low-rank": "low rank",
  filters: "transferred and compact filters",
  distillation: "distillation",
  other: "other approaches",
};

export const markNames = ["size", "speed", "ease", "performance"] as const;
export type MarkName = (typeof markNames)[number];

const order = Object.keys(familyTitles);
const place = (family: string) => (order.includes(family) ? order.indexOf(family) : order.length);

/** Every row, the original first, then family by family; within one the order of the results. */
export function rowsOf({ baseline, results }: Pick<Report, "baseline" | "results">): Result[] {
  const others = results.filter((r) => r !== baseline && r.recipe !== baseline.recipe);
  return [baseline, ...others.sort((a, b) => place(a.family) - place(b.family))];
}

/** The family's name for a reader; an unknown id stands for itself. */
export function familyTitle(family: string): string {
  return Object.hasOwn(familyTitles, family) ? familyTitles[family] : family;
}

/** What quality was lost by: the metric's drop or, without labels, the share of changed predictions. */
export interface Loss {
  readonly kind: "drop" | "flips";
  /** "accuracy drop", "changed predictions". */
  readonly name: string;
  readonly unit: string;
  /** Null where it was not measured; 0 for the original. */
  of(row: Result): number | null;
}

/** The loss that this report can speak of; null where neither was measured. */
export function lossOf(report: Report): Loss | null {
  const rows = rowsOf(report).filter((row) => row !== report.baseline);
  const finite = (n: number | null | undefined) => (Number.isFinite(n) ? n! : null);
  const measure = (kind: Loss["kind"]) => (row: Result) =>
    row === report.baseline ? 0 : finite(row.metric?.[kind]);
  const kind = (["drop", "flips"] as const).find((kind) =>
    rows.some((r) => measure(kind)(r) !== null),
  );
  if (!kind) return null;
  const metric = rows.find((row) => row.metric)!.metric!.name;
  return kind === "drop"
    ? { kind, name: `${metric} drop`, unit: metricUnit(metric).drop, of: measure(kind) }
    : { kind, name: "changed predictions", unit: "%", of: measure(kind) };
}
