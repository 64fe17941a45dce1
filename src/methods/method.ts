/** @file Method: what a compression method declares, and the families there are. */
import type { z } from "zod";
import type { Context, Need } from "../context.ts";
import type { Model } from "../ir/model.ts";

export type { Need } from "../context.ts";

/** Families of the survey (arXiv 1710.09282, Table I and sections II-VI). Each is a folder here. */
export type Family =
  | "quantization"
  | "pruning"
  | "structured"
  | "low-rank"
  | "filters"
  | "distillation"
  | "other";

/**
 * What a method cannot run without: a fixed list, or one that depends on its options. (It
 * has the type of a method signature, whose parameter may be narrower, so that every
 * Method<S> is a Method.)
 */
type Needs<O> = readonly Need[] | { of(options: O): readonly Need[] }["of"];

/** A compression method: its texts, options and the function that applies it. */
export interface Method<S extends z.ZodObject = z.ZodObject> {
  /** Only for a method that is in no table: its name in recipes and reports, in kebab-case. */
  readonly id?: string;
  /** Only for a method that is in no table (default "other"). */
  readonly family?: Family;
  readonly title: string;
  /**
   * One line of plain arithmetic: what W becomes, or what is minimized. W: a weight, u: the numbers
   * behind it that learn, x: a layer's inputs, E: the loss.
   */
  readonly equation?: string;
  /** The source: authors, year, arXiv number, section. */
  readonly cite: string;
  /** One line for help and reports. */
  readonly summary: string;
  /**
   * What the run must provide before any work begins. Data that is used only if it
   * is there is no need.
   */
  readonly needs: Needs<z.output<S>>;
  /**
   * Set if no normalization can be folded into the weights once they are stored this way: the model
   * is then simplified before this step, even if the step computes gradients.
   */
  readonly simplifyFirst?: boolean;
  /**
   * Set, or true for some options, if the method reads batch normalizations (their scales or
   * statistics): they are folded into the weights only after this step. For steps that compute
   * gradients this is so in any case.
   */
  readonly readsNorms?: boolean | { of(options: z.output<S>): boolean }["of"];
  /**
   * Set if the method is for speed or accuracy, not for size: its result may be larger by the bytes
   * that earlier steps of the recipe saved, and by a hundredth of the original file.
   */
  readonly quickens?: boolean;
  /** Set if the file may become larger by any number of bytes, because what is added saves time. */
  readonly grows?: boolean;
  /**
   * Set if the function stays as it is and only a later step gains by it: the step's name. A survey
   * tries both together, and the file may be larger in between.
   */
  readonly prepares?: string;
  /**
   * Set if the method only trains: as the first step of a recipe it has no teacher but the model
   * that it trains.
   */
  readonly onlyTrains?: boolean;
  /** Set if the method mends what earlier steps did: these are then not rescued by themselves. */
  readonly repairs?: boolean;
  /** Set if the result is only a start for training: until then its outputs may be meaningless. */
  readonly isStart?: boolean;
  /** Set for a baseline that other methods have to beat: its rows stand among the controls. */
  readonly isControl?: boolean;
  /**
   * Set if the method decides how the result is written, as a .tersor file. It can
   * only be the last step.
   */
  readonly packs?: boolean;
  readonly options: S;
  /**
   * For a method with `rescueOptions`: settings that may lose less at the same size, tried in turn
   * before layers are left out.
   */
  readonly gentler?: readonly Partial<z.input<S>>[];
  /**
   * For a method with `rescueOptions`: settings that compress less, tried in turn where leaving out
   * layers does not suffice.
   */
  milder?(options: z.output<S>): readonly Partial<z.input<S>>[];
  /**
   * For a method with `rescueOptions` that cannot change each layer by itself: the names of the layers
   * in each set that it changes together.
   */
  together?(model: Model): readonly (readonly string[])[];
  /** Settings for where the result is slower than the original. */
  readonly quicker?: Partial<z.input<S>>;
  /** Settings that a survey tries, each on top of the defaults. */
  readonly survey: readonly Partial<z.input<S>>[];
  /** Settings under which the model must not change; null if there are none. */
  readonly neutral: Partial<z.input<S>> | null;
  /** Compresses `model` in place: a private clone whose tensors are shared and immutable. */
  apply(model: Model, options: z.output<S>, context: Context): Promise<void> | void;
}

/**
 * A method from outside the package: it has an id of its own, and programs put the
 * object into recipes.
 */
export interface OwnMethod<S extends z.ZodObject = z.ZodObject> extends Method<S> {
  readonly id: string;
}

/** Infers the types of the options, so that `apply` sees exactly what the schema gives. */
export function defineMethod<S extends z.ZodObject>(method: OwnMethod<S>): OwnMethod<S>;
export function defineMethod<S extends z.ZodObject>(method: Method<S>): Method<S>;
export function defineMethod<S extends z.ZodObject>(method: Method<S>): Method<S> {
  return method;
}

/** Every need there is. */
export const allNeeds = ["calibration", "training", "labels"] as const satisfies readonly Need[];

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
