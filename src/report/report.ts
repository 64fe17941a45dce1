/** @file Report: all that a survey found, and the rows, picks and groups every format prints from it. */
import type { Latency, Marks, Result } from "../measure/measurement.ts";

export interface Port {
  readonly name: string;
  readonly dtype: string;
  /** A number, a symbol such as "N", or null where the file does not say. */
  readonly shape: readonly (number | string | null)[];
}

export interface ModelInfo {
  readonly name: string;
  readonly bytes: number;
  readonly params: number;
  readonly macs: number | null;
  readonly opset: number;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** Content hash of the file, so that a report names its input exactly. */
  readonly hash: string;
}

/** A weighted node. `ms` is its measured kernel time; shares are 0..1 of the model's totals. */
export interface Layer {
  readonly name: string;
  readonly op: string;
  /** Shape of the main weight. */
  readonly shape: readonly number[];
  readonly params: number;
  readonly bytes: number;
  readonly macs: number | null;
  readonly ms: number | null;
  readonly share: {
    readonly bytes: number;
    readonly macs: number | null;
    readonly ms: number | null;
  };
}

export interface Totals {
  readonly layers: number;
  readonly params: number;
  readonly bytes: number;
  readonly macs: number | null;
  readonly ms: number | null;
}

/** What `tersor inspect` prints. */
export interface Inspection {
  readonly model: ModelInfo;
  readonly totals: Totals;
  readonly layers: readonly Layer[];
}

/** One file of `tersor bench`, interleaved with the others. */
export interface BenchRun {
  readonly file: string;
  readonly bytes: number | null;
  readonly latency: Latency;
  /** Speed-up over the first file: its median / this median; null for the first. */
  readonly ratio: number | null;
  /** 95 % interval of `ratio`. */
  readonly ci95: readonly [number, number] | null;
}

/** A measured figure is "o" from `good` on, "△" from `fair` on, else "x" (drops: up to). */
export interface Thresholds {
  readonly size: { readonly good: number; readonly fair: number };
  readonly speed: { readonly good: number; readonly fair: number };
  readonly performance: { readonly good: number; readonly fair: number };
}

/** Signal to quantization noise of each layer's output, dB; Infinity or null: nothing changed. */
export interface LayerErrors {
  readonly recipe: string;
  readonly layers: readonly { readonly name: string; readonly sqnr: number | null }[];
}

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
  storage: "storage",
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
  return familyTitles[family] ?? family;
}
