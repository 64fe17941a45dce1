/** @file Context: what a method may use while it works: randomness, records, training, reports. */
import type { z } from "zod";
import type { Node, Value } from "./ir/graph.ts";
import type { Model } from "./ir/model.ts";
import type { Tensor } from "./ir/tensor.ts";
import type { Random } from "./numeric/random.ts";
import type { Interval } from "./numeric/statistics.ts";
import type { Builder } from "./ops/builder.ts";
import type { TargetDevice } from "./targets/target.ts";
import type { trainOptions } from "./train/options.ts";
import type { ComputeChoice, CurvePoint, TrainState } from "./train/state.ts";
import type { StepGraph, Student } from "./train/step.ts";
import type { Opened, StepFeed } from "./weights/latent.ts";

/**
 * What a method cannot work without: "calibration" records (inputs without labels), "training"
 * records (for gradient steps), "labels" of the training records.
 */
export type Need = "calibration" | "training" | "labels";

/** What a method gets besides the model and its options. */
export interface Context {
  /** The only source of randomness: the same seed gives the same result. */
  readonly random: Random;
  readonly signal: AbortSignal | null;
  /** The model that the recipe starts from, before its first step. It must not be changed. */
  readonly original: Model;
  /** Where the result should run well: a table of what is fast and what is wrong there. */
  readonly target: TargetDevice;
  /** Reports that a layer was left unchanged, and why. */
  skip(node: string, reason: string): void;
  /** Reports how many of the channels that `node` produces are left, and why. */
  group(node: string, before: number, after: number, reason: string): void;
  /** Reports a problem that the user should know of. */
  warn(text: string): void;
  /** Tells the user what is done: a line of progress, which no result holds. */
  note(text: string): void;
  /** Reports that `done` of `total` parts are done. Rejects with TersorError "aborted". */
  progress(done: number, total: number): Promise<void>;
  /** Whether there are calibration records, for methods that can use them but do not need them. */
  readonly hasCalibration: boolean;
  /**
   * Runs calibration records through `model` (all, or those that `records` tells) and calls
   * `collect` with each tap and its values [records of the batch, ...], batch by batch. Nothing is
   * kept in memory. A batch may be of any size, so a statistic over all records has to weigh batches
   * by what they hold (evidence/pooled.ts does).
   *
   * Values handed over are finite: a record for which a tap is not is left out of that tap, with a
   * warning. Rejects with TersorError "bad-number" if no record is left, and without calibration
   * records with "needs-data"; methods that declare the need are not called then.
   */
  readonly observe: Observe;
  /**
   * Runs a model on inputs that the method makes, one batch after the other; gives all its outputs.
   * Rejects with TersorError "aborted", and with what the engine says of a model that it cannot run.
   */
  readonly run: Run;
  /**
   * Milliseconds that one run of each model takes on the user's inputs, timed in turn. Missing
   * where no engine here is as that of the target.
   */
  readonly time?: (models: readonly Model[]) => Promise<readonly number[]>;
  /** How many times as fast as `before` the model `after` is, timed in turn; missing where `time` is. */
  readonly compare?: (before: Model, after: Model) => Promise<Speedup>;
  /** Microseconds that the engine spends on each node; null where it gives no trace. */
  readonly timeNodes?: (model: Model) => Promise<ReadonlyMap<Node, number> | null>;
  /**
   * Reads a file that the step's options name. Rejects with TersorError "no-such-file" or
   * "cannot-read".
   */
  readonly read: (path: string) => Promise<Uint8Array>;
  /** Trains the model's float32 constants in place on the training records. */
  readonly train: Train;
}

/** How many times as fast as another a model is (above 1 is faster): the survey's delta = s / s*. */
export interface Speedup {
  readonly value: number;
  /** 95 % interval of `value`; null where there are too few rounds. */
  readonly ci95: Interval | null;
}

/** See `Context.run`. */
export type Run = (
  model: Model,
  batches: readonly Readonly<Record<string, Tensor>>[],
) => Promise<readonly Readonly<Record<string, Tensor>>[]>;

/**
 * Options that are left out have the defaults of the step `train`. Rejects with TersorError
 * "needs-training" (no training records), "no-gradient", "diverged" or "aborted".
 */
export type Train = (
  model: Model,
  options: z.input<typeof trainOptions>,
  hooks?: TrainHooks,
) => Promise<Trained>;

/** What a method can add to a run of training. */
export interface TrainHooks {
  /**
   * Builds a scalar that is added to the loss. `student.of` finds the model's values in the copy
   * that is trained.
   */
  readonly penalty?: (
    g: Builder,
    student: Student,
    feeds: Readonly<Record<string, Value>>,
  ) => Value;
  /**
   * Weights and activations that are trained as expressions of other parameters. After the training
   * each is replaced by the stored form that it describes.
   */
  readonly latents?: readonly Opened[];
  /** The model whose outputs or hints the loss compares with, whichever teacher the user named. */
  readonly teacher?: Model;
  /**
   * What is compared on held-out records in the place of the metric: how far `value` of the model, its
   * latents closed, is from `target` of the teacher, -|y' - y|^2 / |y|^2. It is looked at `looks`
   * times, at even distances.
   */
  readonly heldOut?: { readonly value: Value; readonly target: Value; readonly looks: number };
  /** Gradients are only looked at, and weights stay as they are: a loss cannot diverge (default false). */
  readonly isProbe?: boolean;
  /** Inputs of the step's graph that are no data but computed for each step: schedules, noise. */
  readonly feeds?: Readonly<Record<string, StepFeed>>;
  /** Called with the number of steps before the first one. */
  readonly begin?: (steps: number) => void;
  /** Called before each update; may change the flat gradient in place. */
  readonly beforeUpdate?: (gradient: Float32Array, state: TrainState, step: StepGraph) => void;
  /** Called after each update; may change `state.parameters` in place. */
  readonly afterUpdate?: (state: TrainState, step: StepGraph) => void;
}

/** What a run of training reports. */
export interface Trained {
  /** Loss and score during the run. */
  readonly curve: readonly CurvePoint[];
  /** The best score on held-out records, higher is better; null if none were held out. */
  readonly score: number | null;
  /** Updates that were made; 0 if there was nothing to train. */
  readonly steps: number;
  /** How many numbers were trained. */
  readonly parameters: number;
  /** Why the run ended early: the loss broke, or the user ended it; else null. */
  readonly stopped: string | null;
  /** Whether the loss used labels. */
  readonly labelled: boolean;
  /** How the steps were computed; a run with the same choice repeats this one to the byte. */
  readonly computeChoice: ComputeChoice | null;
  readonly seconds: number;
}

/**
 * An inner value of a model to observe. With `of`, the engine computes something of it (a mean, a
 * part), and only that is copied out.
 */
export interface Tap {
  readonly value: Value;
  readonly of?: (g: Builder, value: Value) => Value;
  /** True: a tap that is finite for no record is no error; `collect` is not called with it. */
  readonly optional?: boolean;
}

/** What a batch stands for. */
export interface Fed {
  /** How many records it holds. */
  readonly records: number;
  /**
   * Records / rows that ran: 1, or 1 / n where each record was repeated n times to fill the batch of
   * a model that fixes its size. Sums and counts over the rows have to be multiplied by it.
   */
  readonly share: number;
}

/**
 * Which records: at most so many of the first calibration records, or every `step`-th of them in [from,
 * to); or those that a run of training with this share as its `holdout` does not train on, which are
 * the calibration records where the share is of no record.
 */
export type Records =
  | number
  | { readonly from: number; readonly to: number; readonly step?: number }
  | { readonly heldOut: number };

/** See `Context.observe`. */
export type Observe = <T extends Tap>(
  model: Model,
  taps: readonly T[],
  collect: (tap: T, batch: Tensor, fed: Fed) => void,
  records?: Records,
) => Promise<void>;
