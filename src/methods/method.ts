/** @file Method: what a compression method declares, and the families there are. */
import type { z } from "zod";
import type { Context } from "../context.ts";
import type { Model } from "../ir/model.ts";

/** Families of the survey (arXiv 1710.09282, Table I and sections II-VI); each is a folder here. */
export type Family =
  | "quantization"
  | "pruning"
  | "structured"
  | "low-rank"
  | "filters"
  | "distillation"
  | "other";

/** calibration: inputs without labels; labels: labelled data; training: gradient steps. */
export type Need = "calibration" | "labels" | "training";

export interface Method<S extends z.ZodObject = z.ZodObject> {
  readonly title: string;
  /** Where it comes from: authors, year, arXiv number, section. */
  readonly cite: string;
  /** One line for help and reports. */
  readonly summary: string;
  readonly needs: readonly Need[];
  /** Whether it trains with these options, where it need not always (then `needs` says so). */
  trains?(options: Readonly<Record<string, unknown>>): boolean;
  /**
   * Buys speed: may take back the bytes that earlier steps of a recipe saved, and a hundredth of the
   * original file.
   */
  readonly quickens?: boolean;
  /** A yardstick that others have to beat: its rows stand among the controls. */
  readonly isControl?: boolean;
  /** Says how the product is written, and so can only be the last step: as a .tersor file. */
  readonly packs?: boolean;
  readonly options: S;
  /** Settings that a survey tries, each over the defaults. */
  readonly survey: readonly Partial<z.input<S>>[];
  /** Settings under which the model must stay the same; null when there are none. */
  readonly neutral: Partial<z.input<S>> | null;
  /** Edits `model`, a private clone whose tensors are shared and immutable. */
  apply(model: Model, options: z.output<S>, context: Context): Promise<void> | void;
}

/** Keeps the option types: `apply` sees exactly what its schema gives. */
export function defineMethod<S extends z.ZodObject>(method: Method<S>): Method<S> {
  return method;
}
