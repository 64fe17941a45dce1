/** @file Environment: what a trial needs besides the model and the recipe. */
import type { Dataset } from "../data/dataset.ts";
import type { DataOptions } from "../data/options.ts";
import { errors, fail, type TersorError } from "../errors.ts";
import type { Model } from "../ir/model.ts";
import type { Records } from "../measure/measurement.ts";
import type { MetricSpec } from "../measure/metrics/spec.ts";
import type { Checkpoints, Platform } from "../platform.ts";
import type { Feeds, Runtime } from "../runtime/runtime.ts";
import { ownTarget } from "../targets/index.ts";
import type { TargetDevice } from "../targets/target.ts";
import type { ComputeChoice } from "../train/state.ts";

/** A report from long-running work to `onEvent`. The library itself prints nothing. */
export type Event =
  | {
      readonly type: "progress";
      /** The method, recipe or phase that is at work. */
      readonly what: string;
      readonly done: number;
      readonly total: number;
      /** Current figures as text: "loss 0.12, 3200 records/s". */
      readonly detail?: string;
      /** Of a run of training: the loss of the step `done`, and the last held-out score. */
      readonly training?: { readonly loss: number; readonly score: number | null };
    }
  | { readonly type: "note"; readonly text: string }
  /** A problem that the user should know of; the work goes on. */
  | { readonly type: "warning"; readonly text: string };

/** Everything is fixed before a trial starts; `prepare` makes one from a user's settings. */
export interface Environment {
  readonly platform: Platform;
  readonly runtime: Runtime;
  /** Where the models will run. They are timed only where this machine is like it: `isTimed`. */
  readonly target: TargetDevice;
  /** Whether the user named the target: reports then tell what is known of it (default false). */
  readonly isTargetNamed?: boolean;
  /** Threads of an engine that runs or times the model (training: `trainThreads`). */
  readonly threads: number;
  readonly seed: number;
  readonly signal: AbortSignal | null;
  /** Where set, runs of training end with their present step and keep what they have. */
  readonly finish?: AbortSignal | null;
  /** Records that the metric is measured on; null without data. */
  readonly data: Dataset | null;
  /**
   * Calibration records, which methods may read. Those that `prepare` sets aside are not in `data`.
   */
  readonly calibration: Dataset | null;
  /** Records to train on; none of them is in `data`. Null if nothing was set aside for training. */
  readonly training: Dataset | null;
  /** The metric that the user named; null or missing: what labels and outputs make clear. */
  readonly metric?: MetricSpec | null;
  /** How many records do what, for reports; null without data. */
  readonly records?: Records | null;
  /** The model a distillation loss learns from; null: the model that the recipe starts from. */
  readonly teacher: Model | null;
  /**
   * How the training steps are computed (which engines, which form of each convolution). Null: a
   * self-test chooses the fastest, and the last bits of the result depend on its choice.
   */
  readonly computeChoice: ComputeChoice | null;
  /** How many cores training may use. */
  readonly trainThreads: number;
  /** Storage for the state of long runs, from which an interrupted run is resumed; null: none. */
  readonly checkpoints: Checkpoints | null;
  /** The inputs that each version of the model is timed and checked on; none where `unrun`. */
  readonly feeds: Feeds;
  /**
   * Why no version of the model is run: the engine lacks an operator of it, or takes none of the
   * inputs that were guessed. Then nothing is timed or judged, and steps are only verified. Null or
   * missing where versions are run.
   */
  readonly unrun?: TersorError | null;
  /** Opens the records to measure on once more, with these options on top; missing without data. */
  readonly reopen?: (options: DataOptions) => Promise<Dataset>;
  /**
   * Inputs of several records, as many in each as in `feeds`: models are timed over them whose work
   * depends on what they are given. Missing without data.
   */
  readonly manyFeeds?: () => Promise<readonly Feeds[]>;
  /** Wall time, in ms, for timing one version beside the original (default 2000). */
  readonly timingMs?: number;
  /**
   * False: versions are judged but not timed, because other work runs at the same time, or because
   * this machine is not as the target (default true).
   */
  readonly times?: boolean;
  /** Whether runs of training also time their steps beside the original's (default false). */
  readonly timesTraining?: boolean;
  /**
   * False: products are only checked and written. Of rows nothing is known but what the graph and the
   * file tell: raw bytes, parameters, MACs (default true).
   */
  readonly measures?: boolean;
  readonly onEvent: (event: Event) => void;
}

/**
 * Gives other events of this thread a turn, then throws TersorError "aborted" if the signal was
 * set. Long work calls it between its parts, with its own name as `where`.
 */
export async function checkpoint(env: Pick<Environment, "signal">, where: string): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 0));
  if (env.signal?.aborted) throw fail(errors.aborted(where));
}

/** Whether models are run to be judged and timed. */
export const isMeasured = ({ unrun, measures }: Pick<Environment, "unrun" | "measures">): boolean =>
  !unrun && measures !== false;

/** Whether what is measured here is what the target would measure. */
export const isOfTarget = ({
  target,
  runtime,
  platform,
}: Pick<Environment, "target" | "runtime" | "platform">): boolean =>
  ownTarget(runtime.name, platform.processor) === target;
