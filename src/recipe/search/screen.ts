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
import { keepsNorms, type Step } from "../steps.ts";
import { type Opened, openTimed, timeSessions } from "../time-sessions.ts";
import { simplify } from "../trial.ts";
import type { Ground } from "../trials.ts";
import type { Screened } from "./candidate.ts";

/** Wall time, in ms, for timing one candidate beside the original. */
const TIMING_MS = 400;

/** What has to be measured beside the raw bytes and the outputs. */
export interface ScreenOptions {
  /** Calibration records that judge. */
  readonly records: number;
  readonly isTimed: boolean;
  /** Whether bytes after gzip, brotli and packing are wanted. */
  readonly isCoded: boolean;
  /** A recipe that takes longer, in seconds of CPU time for each of its steps, is given up. */
  readonly mostSeconds: number;
}

/** Gives the measurement of a recipe, which does not train; `name` is its text. */
export type Screen = (name: string, steps: readonly Step[]) => Promise<Screened>;

/**
 * A function that screens recipes from `ground`. Errors of a recipe end up in its `reason`; only
 * "aborted" is thrown.
 */
export async function createScreen(
  { baseline, start }: Ground,
  env: Environment,
  { records, isTimed, isCoded, mostSeconds }: ScreenOptions,
): Promise<Screen> {
  const judges = fewRecords(env.calibration as Dataset, records, env.seed);
  const quiet: Environment = { ...env, onEvent() {}, timesTraining: false };
  const metricOf = await compareBy(fileOf(start), judges, quiet);
  const measure = async (name: string, steps: readonly Step[]): Promise<Result> => {
    const own = steps.some(keepsNorms) ? simplify(baseline.loaded.model, steps) : start;
    const outcome = await applyRecipe(
      own,
      steps,
      limitedTo(mostSeconds * Math.max(1, steps.length), quiet),
    );
    const lost = outcome.kept.includes(false);
    if (lost) throw new Refused(outcome.warnings.at(-1) ?? "a step was rolled back");
    const { bytes, model } = outcome;
    const metric = await metricOf({ model, bytes });
    const original = baseline.result;
    const coded = isCoded
      ? await measureBytes([bytes], env.platform, packedSize({ name, source: { bytes }, model }))
      : { raw: bytes.byteLength, gzip: null, brotli: null, packed: null };
    const opened = isTimed ? baseline.original : null;
    const infer = opened && (await speedupOf(opened, bytes, original));
    const latency = original.latency;
    return {
      ...original,
      ...{ recipe: name, bytes: coded, metric, skipped: [], warnings: outcome.warnings },
      latency: latency && infer ? { ...latency, median: latency.median / infer } : latency,
      delta: { ...original.delta, infer },
    };
  };
  const speedupOf = async (original: Opened, bytes: Uint8Array, { latency }: Result) => {
    const product = await openTimed({ bytes }, env);
    try {
      const timings = await timeSessions([original, product], env, TIMING_MS, {
        clock: latency?.clock,
      });
      return timings[1].ratio.value;
    } finally {
      await product.session.close();
    }
  };
  return async (name, steps) => {
    const began = env.platform.wallMs();
    const told = (row: Result | null, reason: string | null): Screened => {
      return { recipe: name, row, reason, seconds: (env.platform.wallMs() - began) / 1000 };
    };
    try {
      return told(await measure(name, steps), null);
    } catch (cause) {
      if (isAborted(cause) && env.signal?.aborted) throw cause;
      if (isAborted(cause))
        return told(null, `takes more than ${Math.round(mostSeconds)} s of CPU time a step`);
      if (cause instanceof TersorError) return told(null, cause.what);
      return told(null, cause instanceof Refused ? cause.message : `internal error: ${cause}`);
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
