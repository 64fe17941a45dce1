/** @file Context: what a method may ask of its surroundings while it works. */
import type { z } from "zod";
import type { Node, Value } from "./ir/graph.ts";
import type { Model } from "./ir/model.ts";
import type { Tensor } from "./ir/tensor.ts";
import type { Random } from "./numeric/random.ts";
import type { Builder } from "./ops/builder.ts";
import type { trainOptions } from "./train/options.ts";
import type { ComputeChoice, CurvePoint, TrainState } from "./train/state.ts";
import type { StepGraph, Student } from "./train/step.ts";
import type { Opened, StepFeed } from "./weights/latent.ts";

/** calibration: inputs without labels; training: records for gradient steps; labels: of those records. */
export type Need = "calibration" | "training" | "labels";

export interface Context {
  readonly random: Random;
  readonly signal: AbortSignal | null;
  /** The engine the result should run well on (ENGINE section 2). */
  readonly target: "node" | "web";
  /** Says why a layer was left alone. */
  skip(node: string, reason: string): void;
  /** Says how many of the channels that `node` makes are left, and why. */
  group(node: string, before: number, after: number, reason: string): void;
  warn(text: string): void;
  /** `done` of `total` parts are ready; throws TersorError "aborted" when the signal says so. */
  progress(done: number, total: number): Promise<void>;
  /** Whether there are calibration records: for methods that use them if they can, and need none. */
  readonly hasCalibration: boolean;
  /**
   * Runs the calibration records through `model`, all or about `records` of them, and hands over
   * what each tap asks for, batch by batch (nothing is kept). Without calibration data it rejects
   * with TersorError "needs-data"; a recipe whose methods declare that need does not even begin.
   */
  readonly observe: Observe;
  /**
   * Milliseconds that one run of each model takes, side by side, on the user's own inputs. Left out
   * where there is no engine to time.
   */
  readonly time?: (models: readonly Model[]) => Promise<readonly number[]>;
  /** Microseconds that the engine spends on each node; null where it does not tell. */
  readonly timeNodes?: (model: Model) => Promise<ReadonlyMap<Node, number> | null>;
  /** Trains the model's floats in place on the training records; see `observe` where there are none. */
  readonly train: Train;
}

/**
 * Options left out take the defaults of the step \`train\`. Rejects with TersorError "needs-training"
 * without training records, "no-gradient", "diverged", "aborted".
 */
export type Train = (
  model: Model,
  options: z.input<typeof trainOptions>,
  hooks?: TrainHooks,
) => Promise<Trained>;

/** What a method adds to a run of training. */
export interface TrainHooks {
  /** Added to the loss; \`student.of\` finds the model's values in the copy that learns. */
  readonly penalty?: (
    g: Builder,
    student: Student,
    feeds: Readonly<Record<string, Value>>,
  ) => Value;
  /** Weights and activations that learn as expressions, and are closed into forms afterwards. */
  readonly latents?: readonly Opened[];
  /** Graph inputs of the model that are no data, made anew for every step: schedules, noise. */
  readonly feeds?: Readonly<Record<string, StepFeed>>;
  /** Hears how many steps there will be, before the first. */
  readonly begin?: (steps: number) => void;
  readonly beforeUpdate?: (gradient: Float32Array, state: TrainState, step: StepGraph) => void;
  readonly afterUpdate?: (state: TrainState, step: StepGraph) => void;
}

export interface Trained {
  readonly curve: readonly CurvePoint[];
  /** The best score on held-out records, higher is better; null where there were none. */
  readonly score: number | null;
  readonly steps: number;
  /** How many numbers learned. */
  readonly parameters: number;
  /** Whether the loss looked at labels. */
  readonly labelled: boolean;
  /** How it computed: give it to a run that is to repeat this one. */
  readonly computeChoice: ComputeChoice | null;
  readonly seconds: number;
}

/** An inner value to look at: itself, or what `of` makes of it inside the engine (a mean, a part). */
export interface Tap {
  readonly value: Value;
  readonly of?: (g: Builder, value: Value) => Value;
}

export type Observe = <T extends Tap>(
  model: Model,
  taps: readonly T[],
  collect: (tap: T, batch: Tensor) => void,
  records?: number,
) => Promise<void>;
