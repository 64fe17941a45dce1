/** @file Method: what a compression method declares, and the families there are. */
import type { z } from "zod";
import type { Context, Need } from "../context.ts";
import type { Model } from "../ir/model.ts";

export type { Need } from "../context.ts";

/** Families of the survey (arXiv 1710.09282, Table I and sections II-VI); each is a folder here. */
export type Family =
  | "quantization"
  | "pruning"
  | "structured"
  | "low-rank"
  | "filters"
  | "distillation"
  | "other";

/**
 * What a method cannot do without: the same whatever its options, or by them. (The type of a method
 * signature, whose parameter may be narrower, so that every Method<S> is a Method.)
 */
type Needs<O> = readonly Need[] | { of(options: O): readonly Need[] }["of"];

export interface Method<S extends z.ZodObject = z.ZodObject> {
  /** Only of a method that is in no table: what recipes and reports call it, in kebab-case. */
  readonly id?: string;
  /** Only of a method that is in no table (default "other"). */
  readonly family?: Family;
  readonly title: string;
  /** Where it comes from: authors, year, arXiv number, section. */
  readonly cite: string;
  /** One line for help and reports. */
  readonly summary: string;
  /** What must be there before any work begins; what is merely used if it is there is no need. */
  readonly needs: Needs<z.output<S>>;
  /**
   * Stores weights so that no normalization can be folded into them afterwards: the model is
   * simplified before this step, although it takes gradients.
   */
  readonly simplifyFirst?: boolean;
  /**
   * Buys speed: may take back the bytes that earlier steps of a recipe saved, and a hundredth of the
   * original file.
   */
  readonly quickens?: boolean;
  /** A start for training: before it, outputs may mean nothing. */
  readonly isStart?: boolean;
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

/** A method from outside: it names itself, and programs put it into recipes as it is. */
export interface OwnMethod<S extends z.ZodObject = z.ZodObject> extends Method<S> {
  readonly id: string;
}

/** Keeps the option types: `apply` sees exactly what its schema gives. */
export function defineMethod<S extends z.ZodObject>(method: OwnMethod<S>): OwnMethod<S>;
export function defineMethod<S extends z.ZodObject>(method: Method<S>): Method<S>;
export function defineMethod<S extends z.ZodObject>(method: Method<S>): Method<S> {
  return method;
}

/** What a method needs with these options. */
export function needsOf({
  method,
  options,
}: {
  readonly method: Method;
  readonly options: Readonly<Record<string, unknown>>;
}): readonly Need[] {
  return typeof method.needs === "function" ? method.needs(options) : method.needs;
}
