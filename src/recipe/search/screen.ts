/** @file Screening: a recipe is applied and judged on a few calibration records, in seconds. */
import type { Dataset } from "../../data/dataset.ts";
import { isAborted, TersorError } from "../../errors.ts";
import { cloneModel, type Model } from "../../ir/model.ts";
import type { Result } from "../../measure/measurement.ts";
import { packedSize } from "../../measure/pack.ts";
import { measureBytes } from "../../measure/size.ts";
import { concat, writeModel } from "../../onnx/write.ts";
import { inferModel } from "../../ops/infer.ts";
import { applyRecipe } from "../apply.ts";
import type { Environment } from "../environment.ts";
import { fewRecords } from "../few-records.ts";
import { compareBy } from "../rescue.ts";
import type { Failed } from "../runner.ts";
import { keepsNorms, type Step } from "../steps.ts";
import { nameOf, simplify } from "../trial.ts";
import type { Ground } from "../trials.ts";

/** How a recipe is screened. Plain data, which JSON can hold. */
export interface ScreenPlan {
  /** Calibration records that judge. */
  readonly records: number;
  /** Calibration records that methods read; null: all. */
  readonly calibrating: number | null;
  /** Whether bytes after gzip, brotli and packing are wanted. */
  readonly isCoded: boolean;
  /** Whether the product is wanted, to be timed. */
  readonly keepsProduct: boolean;
  /**
   * A recipe that takes longer, in seconds of CPU time for each of its steps, is given up; null: none.
   */
  readonly mostSeconds: number | null;
}

/** What was seen of a recipe. Plain data. */
export interface Seen extends Pick<Result, "metric" | "warnings"> {
  readonly sizes: Result["bytes"];
  /** The product as an ONNX file; null where the plan does not want it. */
  readonly bytes: Uint8Array | null;
}

/** Screens a recipe, which does not train. Errors of a recipe are values; only "aborted" is thrown. */
export type Screens = (steps: readonly Step[], plan: ScreenPlan) => Promise<Seen | Failed>;

/** A function that screens recipes from `start` in this process. Nothing is timed. */
export function createScreens(
  { baseline, start }: Pick<Ground, "baseline" | "start">,
  env: Environment,
): Screens {
  const judge = async ({ records, calibrating }: ScreenPlan) => {
    const all = env.calibration as Dataset;
    const calibration = calibrating === null ? all : fewRecords(all, calibrating, env.seed);
    const quiet: Environment = { ...env, calibration, onEvent() {}, timesTraining: false };
    const judges = fewRecords(calibration, records, env.seed);
    return { quiet, metricOf: await compareBy(fileOf(start), judges, quiet) };
  };
  const judges = new Map<string, ReturnType<typeof judge>>();
  const judgeOf = (plan: ScreenPlan): ReturnType<typeof judge> => {
    const key = `${plan.records} ${plan.calibrating}`;
    const own = judges.get(key) ?? judge(plan);
    judges.set(key, own);
    return own;
  };
  const screen = async (steps: readonly Step[], plan: ScreenPlan): Promise<Seen> => {
    const { quiet, metricOf } = await judgeOf(plan);
    const own = steps.some(keepsNorms) ? simplify(baseline.loaded.model, steps) : start;
    const most = (plan.mostSeconds ?? Infinity) * Math.max(1, steps.length);
    const outcome = await applyRecipe(own, steps, limitedTo(most, quiet));
    const lost = outcome.kept.includes(false);
    if (lost) throw new Refused(outcome.warnings.at(-1) ?? "a step was rolled back");
    const { bytes, model, warnings } = outcome;
    const metric = await metricOf({ model, bytes });
    const packed = () => packedSize({ name: nameOf(steps), source: { bytes }, model });
    const sizes = plan.isCoded
      ? await measureBytes([bytes], env.platform, packed())
      : { raw: bytes.byteLength, gzip: null, brotli: null, packed: null };
    return { sizes, metric, warnings, bytes: plan.keepsProduct ? bytes : null };
  };
  return async (steps, plan) => {
    try {
      return await screen(steps, plan);
    } catch (cause) {
      if (isAborted(cause) && env.signal?.aborted) throw cause;
      const { mostSeconds } = plan;
      const late = `takes more than ${Math.round(mostSeconds ?? 0)} s of CPU time a step`;
      if (isAborted(cause)) return { reason: late, isMistake: false, isSlow: true };
      if (cause instanceof TersorError) return { reason: cause.what, isMistake: false };
      if (cause instanceof Refused) return { reason: cause.message, isMistake: false };
      return { reason: `internal error: ${cause}`, isMistake: true };
    }
  };
}

/** The environment, whose signal is also set when the time is over. */
function limitedTo(seconds: number, env: Environment): Environment {
  // CPU time, so that it depends on the recipe and not on what else the machine does.
  const now = (): number => env.platform.cpuMs() ?? env.platform.wallMs();
  const end = now() + 1000 * seconds;
  const signal = {
    get aborted() {
      return env.signal?.aborted === true || now() > end;
    },
    reason: null,
  };
  return { ...env, signal: signal as unknown as AbortSignal };
}

/** Why a candidate is none. */
class Refused extends Error {}

function fileOf(model: Model) {
  const own = cloneModel(model);
  inferModel(own);
  return { model: own, bytes: concat(writeModel(own)) };
}
