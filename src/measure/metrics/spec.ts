/** @file What a metric is: an entry of the table, or a user's own. Shared code asks it, not its name. */
import { z } from "zod";
import type { Tensor } from "../../ir/tensor.ts";
import type { Interval } from "../../numeric/statistics.ts";
import { defaultsOf, parseOptions } from "../../options.ts";

export type Numbers = Float32Array | Float64Array;

/** The numbers of one record in one output or label, row-major; the shape has no batch axis. */
export interface Output {
  readonly values: Numbers;
  readonly shape: readonly number[];
}

/** The judged outputs of one record, by name. */
export type Outputs = Readonly<Record<string, Output>>;

/** One record, as a judge sees it. */
export interface Item {
  readonly outputs: Outputs;
  /** Null for data without labels. */
  readonly label: Output | null;
  /** The original's outputs for it; null where they were not kept, or nothing is compared. */
  readonly original: Outputs | null;
  /** The record's name, for errors. */
  readonly where: string;
}

/** What a judge concludes from all records; the fields have the units of Metric. */
export interface Verdict {
  /** Null: the signal-to-quantization-noise ratio of the outputs stands for it. */
  readonly value: number | null;
  readonly ci95: Interval | null;
  /** 95 % interval of the drop; null unless all records came with the original's output. */
  readonly dropCi95: Interval | null;
  /** Percent of predictions that differ from the original's; null where that says nothing. */
  readonly flips?: number | null;
  readonly kl?: number | null;
  readonly accuracy?: number;
  /** What the figure means for these records: "1 of 20 boxes lost, 0 new". */
  readonly words?: string;
  /** Number of predictions made: one per record, per token ... */
  readonly predictions: number;
  /** Number of records with a prediction, where some may be only padding; else all are meant. */
  readonly records?: number;
  /** How many predictions were NaN or infinite. */
  readonly broken: number;
  /** The one answer that all of several records were given ("class 3"), where the original gave others too. */
  readonly only?: string;
  readonly warnings?: readonly string[];
  /** The metric that was measured, where the records show only in the end that it is another one. */
  readonly instead?: MetricSpec;
}

/** Collects records and gives the verdict on all of them. */
export interface Judge {
  /**
   * Adds one record. Returns whether a prediction in it is NaN or infinite. Throws TersorError
   * "label-out-of-range".
   */
  add(item: Item): boolean;
  /** The verdict over the records added so far. */
  finish(): Verdict;
}

/** The first batch of a dataset, from which is told what can be judged and how. */
export interface Batch {
  /** Number of records in it. */
  readonly records: number;
  readonly label: Tensor | null;
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly inputs?: Readonly<Record<string, Tensor>>;
}

/** How a metric judges a model: its outputs, by what, and how they are read. */
export interface Fit {
  /** The outputs that are judged. Those of floats are also compared with the original's (SQNR). */
  readonly outputs: readonly string[];
  readonly against: "labels" | "original";
  /** Number of classes; null where the outputs hold no class scores. */
  readonly classes?: number | null;
  /** How the outputs are read, for a note to the user. */
  readonly note?: string;
  /** Set where records may have outputs of another size than the original's, and be judged all the same. */
  readonly anySize?: boolean;
  /** Set where the original, too, is given outputs to compare with: its own. */
  readonly itself?: boolean;
  judge(): Judge;
}

/** How much a drop means. */
export interface Scale {
  /**
   * The drop, in the metric's unit, that counts like one point of accuracy: for marks, and for the
   * tolerance of a rescue.
   */
  readonly point: number;
  /** The drop from which on the product is no compression of the model any more. */
  readonly collapse: number;
  /** Set where a rescue and a collapse are judged by percent of the baseline instead. */
  readonly relative?: { readonly point: number; readonly collapse: number };
}

/** A metric: what it is called and how its figures are read. Everything else follows from `fits`. */
export interface MetricSpec {
  /** Its name on the command line and in results, in kebab-case. */
  readonly id: string;
  readonly title: string;
  /** What the value is, how it is computed, and of which source; Markdown, for docs/results.md. */
  readonly doc: string;
  readonly cite?: string;
  readonly higherIsBetter: boolean;
  /** Units of the value and of a drop, "" for none. */
  readonly unit: { readonly value: string; readonly drop: string };
  /** Decimals of a printed value (default 2). */
  readonly digits?: number;
  readonly scale: Scale;
  /**
   * Set where a drop is the share of the predictions that were right and are no more, so that it
   * never exceeds the flips.
   */
  readonly countsFlips?: true;
  /** What it cannot do without; "either" judges by labels where there are any. */
  readonly needs: "labels" | "original" | "either";
  /** The shapes that it reads, for the documentation. */
  readonly reads: { readonly outputs: string; readonly label: string };
  readonly options: z.ZodObject;
  /**
   * How it judges a model, given its first batch, or why it cannot: a clause about the outputs or
   * the label. A caller without `options` means their defaults.
   */
  fits(batch: Batch, options?: Readonly<Record<string, unknown>>): Fit | string;
  /** Whether it is taken where the user names no metric; only asked if it fits. */
  isGuessed(batch: Batch): boolean;
  /** What chance would score, as text, if a model with this interval does no better; else null. */
  chance?(ci95: Interval, classes: number): string | null;
}

/** The declaration of a metric; `S` are its options. */
export interface MetricDeclaration<S extends z.ZodObject>
  extends Omit<MetricSpec, "options" | "fits" | "isGuessed"> {
  readonly options?: S;
  fits(batch: Batch, options: z.output<S>): Fit | string;
  /** Default: never. */
  isGuessed?(batch: Batch): boolean;
}

/** Declares a metric. */
export function defineMetric<S extends z.ZodObject = z.ZodObject>(
  declaration: MetricDeclaration<S>,
): MetricSpec {
  const options = declaration.options ?? z.object({});
  return {
    isGuessed: () => false,
    ...declaration,
    options,
    fits: (batch, given) => declaration.fits(batch, (given ?? defaultsOf(options)) as z.output<S>),
  };
}

/** The metric with these options, as text or values. Throws "unknown-option" or "bad-option". */
export function withOptions(
  spec: MetricSpec,
  given: Readonly<Record<string, unknown>>,
  where: string,
): MetricSpec {
  const options = parseOptions(spec.options, given, where);
  return { ...spec, fits: (batch) => spec.fits(batch, options) };
}
