/** @file Watch: recipes are screened where the runner is, timed here, and what was seen is kept. */
import type { Result } from "../../measure/measurement.ts";
import type { Environment } from "../environment.ts";
import type { Step } from "../steps.ts";
import { openTimed, timeSessions } from "../time-sessions.ts";
import { nameOf } from "../trial.ts";
import type { Ground } from "../trials.ts";
import { type Aim, aimsAt, isSpeed } from "./aim.ts";
import type { Screened } from "./candidate.ts";
import type { Memory } from "./propose.ts";
import type { ScreenPlan } from "./screen.ts";

/** Calibration records that judge a candidate, and one layer alone. */
const JUDGES = 256;
const FEW = 16;
/** Records that methods read where they are tried on one layer alone. */
const CALIBRATING = 64;
/** Wall time, in ms, for timing one candidate beside the original. */
const TIMING_MS = 400;

/** Gives the measurement of a recipe, which does not train. */
export type Watched = (steps: readonly Step[]) => Promise<Screened>;

/** What has to be measured beside the raw bytes and the outputs follows from the aim. */
interface WatchOptions {
  readonly aim: Aim;
  /** See `ScreenPlan`; Infinity: no limit. */
  readonly mostSeconds: number;
}

/**
 * The two ways to screen: `judged` a recipe for the whole model, `few` one for a single layer, on fewer
 * records and without times. What the memory has of a recipe is not measured again.
 */
export function createWatch(
  { baseline, runner }: Ground,
  env: Environment,
  { aim, mostSeconds }: WatchOptions,
  memory: Memory,
): { readonly judged: Watched; readonly few: Watched } {
  const original = baseline.result;
  const isTimed = aimsAt(aim, isSpeed);
  const speedupOf = async (bytes: Uint8Array): Promise<number | null> => {
    if (!baseline.original) return null;
    const product = await openTimed({ bytes }, env);
    try {
      const { clock } = original.latency ?? {};
      const both = [baseline.original, product];
      const [, timing] = await timeSessions(both, env, TIMING_MS, { clock });
      return timing.ratio.value;
    } finally {
      await product.session.close();
    }
  };
  const rowOf = async (recipe: string, steps: readonly Step[], plan: ScreenPlan) => {
    const seen = await runner.screen(steps, plan);
    if ("reason" in seen) return { row: null, reason: seen.reason, isSlow: seen.isSlow === true };
    const { sizes, metric, warnings, bytes } = seen;
    const infer = bytes && (await runner.alone(() => speedupOf(bytes)));
    const { latency } = original;
    const row: Result = {
      ...original,
      ...{ recipe, bytes: sizes, metric, skipped: [], warnings },
      latency: latency && infer ? { ...latency, median: latency.median / infer } : latency,
      delta: { ...original.delta, infer },
    };
    return { row, reason: null, isSlow: false };
  };
  const kept = (plan: ScreenPlan): Watched => {
    return async (steps) => {
      const recipe = nameOf(steps);
      const key = `${plan.records} ${recipe}`;
      const before = memory.recall(key);
      if (before) return before;
      const end = memory.begin();
      try {
        const { row, reason, isSlow } = await rowOf(recipe, steps, plan);
        const found = { recipe, row, reason, isSlow, seconds: end() };
        await memory.keep(key, found);
        return found;
      } catch (cause) {
        end();
        throw cause;
      }
    };
  };
  const isCoded = aimsAt(aim, (name) => ["gzip", "brotli", "packed"].includes(name));
  const most = Number.isFinite(mostSeconds) ? mostSeconds : null;
  return {
    judged: kept({
      ...{ records: JUDGES, calibrating: null, isCoded },
      ...{ keepsProduct: isTimed, mostSeconds: most },
    }),
    few: kept({
      ...{ records: FEW, calibrating: CALIBRATING, isCoded: false },
      ...{ keepsProduct: false, mostSeconds: most },
    }),
  };
}
