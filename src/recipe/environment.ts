/** @file Environment: everything around a trial that is not the model or the recipe. */
import type { Dataset } from "../data/dataset.ts";
import { errors, fail } from "../errors.ts";
import type { Model } from "../ir/model.ts";
import type { Checkpoints, Platform } from "../platform.ts";
import type { Feeds, Runtime } from "../runtime/runtime.ts";
import type { ComputeChoice } from "../train/state.ts";

/** What long work tells about itself; nothing is printed by the library. */
export type Event =
  | {
      readonly type: "progress";
      readonly what: string;
      readonly done: number;
      readonly total: number;
      /** How it goes: "loss 0.12, 3200 records/s". */
      readonly detail?: string;
    }
  | { readonly type: "note"; readonly text: string }
  /** Something the user should know that stops nothing. */
  | { readonly type: "warning"; readonly text: string };

export interface Environment {
  readonly platform: Platform;
  readonly runtime: Runtime;
  /** Engine threads. */
  readonly threads: number;
  readonly seed: number;
  readonly signal: AbortSignal | null;
  /** Records the metric is measured on; null without data. */
  readonly data: Dataset | null;
  /** Records methods may look at; never among those of `data`. */
  readonly calibration: Dataset | null;
  /** Records that may be trained on; never among those of `data`. */
  readonly training: Dataset | null;
  /** What a loss with a teacher learns from; null: the recipe's own start. */
  readonly teacher: Model | null;
  /** How training computes; null: whatever a self-test finds fastest, which changes the last bits. */
  readonly computeChoice: ComputeChoice | null;
  /** Cores that training may use. */
  readonly trainThreads: number;
  /** Where long work is saved, to go on after an end that nobody wanted; null: nowhere. */
  readonly checkpoints: Checkpoints | null;
  /** Feeds every version of the model is timed and compared on. */
  readonly feeds: Feeds;
  /** Time spent on timing one version beside the original (default 2000). */
  readonly timingMs?: number;
  readonly onEvent: (event: Event) => void;
}

/** Throws TersorError "aborted" once the signal says so; lets the event loop breathe. */
export async function checkpoint(env: Pick<Environment, "signal">, where: string): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 0));
  if (env.signal?.aborted) throw fail(errors.aborted(where));
}
