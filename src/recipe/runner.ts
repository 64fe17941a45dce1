/** @file Runner: where the recipes of a survey are applied; in this process, or in others. */
import { isAborted, TersorError } from "../errors.ts";
import type { Model } from "../ir/model.ts";
import type { Result } from "../measure/measurement.ts";
import { methodOf } from "../methods/index.ts";
import { sha256Text } from "../util/sha256.ts";
import type { Baseline } from "./assess.ts";
import type { Environment } from "./environment.ts";
import type { OpenJob } from "./job.ts";
import { createLayerErrors, type LayerErrors } from "./layer-errors.ts";
import type { Loaded } from "./load.ts";
import type { Settings } from "./prepare.ts";
import { createScreens, type Screens } from "./search/screen.ts";
import { keepsNorms, type Step } from "./steps.ts";
import { decides } from "./time-sessions.ts";
import { nameOf, runTrial, simplify } from "./trial.ts";

/** What a recipe gave, as plain data: all but its times. */
export interface Tried {
  readonly row: Result;
  /** The product as an ONNX file. */
  readonly bytes: Uint8Array;
  readonly errors: LayerErrors;
  /** Whether the product `decides` by its input what to run. */
  readonly varies: boolean;
}

/** Why there is no trial. `isMistake`: a mistake in the code of a method, not an unfit recipe. */
export interface Failed {
  readonly reason: string;
  readonly isMistake: boolean;
  /** Whether it was given up because it took too long (default false). */
  readonly isSlow?: boolean;
}

/** Applies recipes to one model and judges the products. */
export interface Runner {
  /** How many recipes it works on at a time. */
  readonly lanes: number;
  /**
   * Applies a recipe and judges its product; times are left out. A failure of the recipe is a value.
   * Throws TersorError "aborted", and errors that end the whole survey.
   */
  run(steps: readonly Step[]): Promise<Tried | Failed>;
  /** Applies a recipe and judges its product on a few calibration records. Throws what `run` throws. */
  readonly screen: Screens;
  /** Does work while this machine works on no recipe, as timing asks. One call at a time. */
  alone<T>(work: () => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** What a runner in other processes has to know, to prepare the same environment there. */
export interface Assignment {
  readonly model: Loaded;
  readonly settings: Settings;
  readonly job: OpenJob;
}

/** Opens a runner. Throws TersorError "bad-option" for settings that cannot be sent elsewhere. */
export type OpenRunner = (assignment: Assignment) => Promise<Runner>;

/** The runner of this process: one recipe after another. `start` is what recipes start from. */
export async function localRunner(
  baseline: Baseline,
  start: Model,
  env: Environment,
): Promise<Runner> {
  const layerErrors = await createLayerErrors(start, env);
  return {
    lanes: 1,
    async run(steps) {
      try {
        const own = { ...baseline, env: { ...(await scoped(env, nameOf(steps))), times: false } };
        // Those that train, or read normalizations, get a start in which these are kept.
        const from = steps.some(keepsNorms) ? simplify(baseline.loaded.model, steps) : start;
        const { outcome, result } = await runTrial(own, from, steps, { file: null, whole: true });
        const { bytes, model } = outcome;
        const errors = await layerErrors(nameOf(steps), model);
        return { row: result, bytes, errors, varies: decides(model) };
      } catch (cause) {
        return failureOf(cause);
      }
    },
    screen: createScreens({ baseline, start }, env),
    alone: (work) => work(),
    async close() {},
  };
}

/** An error of a trial as a value. Throws "aborted". */
export function failureOf(cause: unknown): Failed {
  if (!(cause instanceof TersorError)) {
    return { reason: `internal error: ${cause}`, isMistake: true };
  }
  if (isAborted(cause)) throw cause;
  return { reason: cause.what, isMistake: false };
}

/**
 * A recipe as text, for other processes, which know the methods of the package only; where it has
 * another method, why it cannot be sent.
 */
export function textFor(steps: readonly Step[]): { readonly text: string } | Failed {
  const own = steps.find(({ id, method }) => methodOf(id) !== method);
  if (!own) return { text: nameOf(steps) };
  const reason = `${own.id} is a method from outside the package, which runs without workers only`;
  return { reason, isMistake: false };
}

/**
 * The environment with checkpoint names that begin with a hash of the recipe, because steps of two
 * recipes may have the same number and name but train different models.
 */
async function scoped(env: Environment, recipe: string): Promise<Environment> {
  const { checkpoints } = env;
  if (!checkpoints) return env;
  const prefix = (await sha256Text(recipe)).slice(0, 8);
  const own = (name: string): string => `${prefix} ${name}`;
  return {
    ...env,
    checkpoints: {
      load: (name) => checkpoints.load(own(name)),
      save: (name, bytes) => checkpoints.save(own(name), bytes),
      where: (name) => checkpoints.where(own(name)),
      cache: checkpoints.cache,
    },
  };
}
