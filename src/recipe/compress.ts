/** @file Compress: one recipe on one model, measured beside the original. */
import type { GroupChange, Result } from "../measure/measurement.ts";
import { packSmallest } from "../measure/pack.ts";
import { assessBaseline } from "./assess.ts";
import type { Environment } from "./environment.ts";
import type { Loaded } from "./load.ts";
import { checkNeeds } from "./needs.ts";
import type { TrainingRun } from "./step-context.ts";
import type { Step } from "./steps.ts";
import { runTrial, simplify } from "./trial.ts";

export interface CompressPlan {
  readonly steps: readonly Step[];
  /** Simplify the model losslessly (default true): before the first step, and once training is done. */
  readonly simplify?: boolean;
  /** The start need not be any good: training makes it so. */
  readonly untrained?: boolean;
  /** Where the model will be written, for the result; null where it is not. */
  readonly file?: string | null;
}

export interface Compressed {
  readonly baseline: Result;
  readonly result: Result;
  readonly bytes: Uint8Array;
  /** The .tersor file. */
  pack(): Uint8Array;
  /** What structured pruning did, group by group. */
  readonly groups: readonly GroupChange[];
  /** Runs of training on the way. */
  readonly training: readonly TrainingRun[];
  readonly seconds: number;
}

/** Throws "needs-data" and the like before any work, "implausible-baseline", "aborted". */
export async function compress(
  loaded: Loaded,
  env: Environment,
  plan: CompressPlan,
): Promise<Compressed> {
  checkNeeds(plan.steps, env);
  const began = env.platform.wallMs();
  const baseline = await assessBaseline(loaded, env, { untrained: plan.untrained ?? false });
  try {
    const { steps, file = null, simplify: isSimplified = true } = plan;
    const start = isSimplified ? simplify(loaded.model, steps) : loaded.model;
    const options = { file, simplify: isSimplified };
    const { outcome, result, beside } = await runTrial(baseline, start, steps, options);
    const seconds = (env.platform.wallMs() - began) / 1000;
    const original = { ...baseline.result, latency: beside };
    const { bytes, model } = outcome;
    const pack = () => packSmallest({ name: result.recipe, source: { bytes }, model }).bytes;
    const { groups, training } = outcome;
    return { baseline: original, result, bytes, pack, groups, training, seconds };
  } finally {
    await baseline.session.close();
  }
}
