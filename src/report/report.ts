/** @file Report: the results of a survey or a single recipe, from which all formats are printed. */
import { aboutOf } from "../measure/about.ts";
import type { Thresholds } from "../measure/marks.ts";
import type { GroupChange, Mark, Marks, Result } from "../measure/measurement.ts";
import type { Layer, ModelInfo } from "../recipe/inspect.ts";
import type { LayerErrors } from "../recipe/layer-errors.ts";
import type { TrainingRun } from "../recipe/step-context.ts";

export type { BenchRun } from "../recipe/bench.ts";
export type { Inspection, Layer, ModelInfo, Port, Totals } from "../recipe/inspect.ts";
export type { LayerErrors } from "../recipe/layer-errors.ts";
export type {
  Damage,
  LayerDamage,
  LayerSensitivity,
  RecipeSensitivity,
  Sensitivity,
} from "../recipe/sensitivity.ts";

export interface Report {
  /** "survey", "compress" or "train". */
  readonly command: string;
  readonly model: ModelInfo;
  /** The layers of the original; their times add up to that of its row. */
  readonly layers: readonly Layer[];
  /** The row of the original. */
  readonly baseline: Result;
  /** The rows of all recipes; the original may be among them. */
  readonly results: readonly Result[];
  /** The recipes on the Pareto front. */
  readonly pareto: readonly string[];
  /** Of a search: the share (0..1) of the space of what it aims at that the rows dominate. */
  readonly hypervolume?: number;
  /** The error of each layer, for each recipe. */
  readonly errors?: readonly LayerErrors[];
  /** For structured pruning: the channels before and after of each group of coupled channels. */
  readonly groups?: readonly GroupChange[];
  /** The runs of training, for their loss curves. */
  readonly training?: readonly TrainingRun[];
  readonly thresholds: Thresholds;
  /** The survey paper's marks by family. */
  readonly opinions: Readonly<Record<string, Marks>>;
  /** The data source as the user wrote it; null if no data was given. */
  readonly data: string | null;
  /** The machine: "node 20.20.2 linux x64". */
  readonly platform: string;
  readonly commandLine: string;
  /** Why not all recipes were measured, as a sentence; null or missing where all were. */
  readonly unfinished?: string | null;
  readonly seconds: number;
  /**
   * ISO 8601. Passed in rather than read from a clock, so that equal results give equal reports.
   */
  readonly date: string;
}

/** The families with their titles: controls first, then the survey's in its order. */
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

/** Order of the marks of quality: an unknown quality stands before a lost one. */
const qualityRank: Readonly<Record<Mark, number>> = { o: 0, "△": 1, "?": 2, x: 3 };

/**
 * All rows: the original, then the others with the best first. These are the rows that keep quality
 * (mark "o"), then those that lose some, and among equal marks the smaller file.
 */
export function rowsOf({ baseline, results }: Pick<Report, "baseline" | "results">): Result[] {
  const others = results.filter((r) => r !== baseline && r.recipe !== baseline.recipe);
  const rank = ({ marks }: Result) => qualityRank[marks.performance];
  return [baseline, ...others.sort((a, b) => rank(a) - rank(b) || a.bytes.raw - b.bytes.raw)];
}

/** The name of a layer's row; the rows of other operators are all called "other". */
export function layerName({ name, op, shape }: Layer): string {
  if (name !== "other" || shape.length > 0) return name;
  const several = op.replace(/^(\d+) operators$/, "$1 other operators");
  return several === op ? `${op} (all)` : several;
}

/** The title of a family; an unknown id is its own title. */
export function familyTitle(family: string): string {
  return Object.hasOwn(familyTitles, family) ? familyTitles[family] : family;
}

/** Whether the report has a figure of quality; without data it has none. */
export function hasQuality(report: Report): boolean {
  return rowsOf(report).some(({ metric }) => metric !== null);
}

/** How the loss of quality is expressed: as the metric's drop or, without labels, as flips. */
export interface Loss {
  readonly kind: "drop" | "flips";
  /** "accuracy drop" or "changed predictions". */
  readonly name: string;
  readonly unit: string;
  /** How much of it counts like one point of accuracy. */
  readonly point: number;
  readonly digits: number;
  /** The loss of a row: 0 for the original, null where it was not measured. */
  of(row: Result): number | null;
}

/** The kind of loss that this report has values of; null where no row has any. */
export function lossOf(report: Report): Loss | null {
  const rows = rowsOf(report).filter((row) => row !== report.baseline);
  const finite = (n: number | null | undefined) => (Number.isFinite(n) ? n! : null);
  const measure = (kind: Loss["kind"]) => (row: Result) =>
    row === report.baseline ? 0 : finite(row.metric?.[kind]);
  const kind = (["drop", "flips"] as const).find((kind) =>
    rows.some((r) => measure(kind)(r) !== null),
  );
  if (!kind) return null;
  const metric = rows.find((row) => row.metric)!.metric!;
  const { dropUnit: unit, point, digits } = aboutOf(metric);
  const of = measure(kind);
  return kind === "drop"
    ? { kind, name: `${metric.name} drop`, unit, point, digits, of }
    : { kind, name: "changed predictions", unit: "%", point: 1, digits: 2, of };
}
