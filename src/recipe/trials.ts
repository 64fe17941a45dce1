/** @file Runs trials one after another: each recipe is proposed, applied, measured and handed over. */
import { isAborted, TersorError } from "../errors.ts";
import type { Model } from "../ir/model.ts";
import type { Result } from "../measure/measurement.ts";
import { basisOf } from "../measure/speed.ts";
import { sha256Text } from "../util/sha256.ts";
import { assessBaseline, type Baseline } from "./assess.ts";
import { checkpoint, type Environment } from "./environment.ts";
import { createLayerErrors, type LayerErrors } from "./layer-errors.ts";
import type { Loaded } from "./load.ts";
import { unmetNeed } from "./needs.ts";
import { paretoOf } from "./pareto.ts";
import { keepsNorms, type Step } from "./steps.ts";
import { nameOf, runTrial, simplify, type Trial } from "./trial.ts";

/** What recipes are proposed from. */
export interface Ground {
  /** The measured original. */
  readonly baseline: Baseline;
  /** The simplified original, from which recipes start. */
  readonly start: Model;
}

/** Gives one recipe after the other; `next` receives the row of the one before, null if none. */
export type Proposals = AsyncGenerator<readonly Step[], void, Result | null>;

/** Which recipes are tried, in which order. */
export interface Source {
  /** How many there will be, for progress; null if that is not known. */
  readonly total: number | null;
  /** The names of recipes whose rows are listed in this order, before all others. */
  readonly order: readonly string[];
  propose(ground: Ground): Proposals;
}

/** Where trials report, and when they end; everything has a default. */
export interface TrialsOptions {
  /** After this many seconds no further trial is started (default: no limit). */
  readonly budgetSeconds?: number | undefined;
  /** Rows of an earlier, interrupted run; their recipes are not run again. */
  readonly done?: readonly Result[] | undefined;
  /** The errors of their layers, as far as they are known. */
  readonly doneErrors?: readonly LayerErrors[] | undefined;
  /** Recipes that are left out, because they ended the process of earlier runs. */
  readonly deadly?: readonly string[] | undefined;
  /** Called before each trial. */
  readonly onTrial?: ((recipe: string) => void) | undefined;
  /** The path that `result.file` names for a recipe; without it, files are null. */
  readonly fileOf?: ((recipe: string) => string) | undefined;
  /**
   * Called with the original's row, then with each row as soon as its trial is measured, so that an
   * interrupted run loses at most one trial. `bytes` is the trial's ONNX file; null for the
   * original. Rows of `done` are in `soFar` from the first call on.
   */
  readonly onRow?: (result: Result, bytes: Uint8Array | null, soFar: SoFar) => Promise<void> | void;
}

/** What is known after a trial. */
export interface SoFar {
  /** All rows: the original's first, then in the order in which recipes were proposed. */
  readonly results: readonly Result[];
  /** The recipes on the Pareto front. */
  readonly pareto: readonly string[];
  /** The error of each layer, for each recipe with a row. */
  readonly errors: readonly LayerErrors[];
}

/** A recipe that was not measured. */
export interface Left {
  readonly recipe: string;
  readonly reason: string;
  /** Whether only time was missing, so that a run that goes on will measure it. */
  readonly later: boolean;
}

/** The result of all trials. */
export interface Trials extends SoFar {
  readonly baseline: Result;
  readonly left: readonly Left[];
  /**
   * Errors in a method that are not a TersorError, that is, mistakes in its code. Such an error
   * ends the trial but not the others.
   */
  readonly warnings: readonly string[];
  readonly seconds: number;
}

/**
 * Measures the original, then one trial for each recipe that `source` proposes. Recipes whose needs
 * are not met are left out, with the reason in `left`. Throws TersorError "implausible-baseline" and
 * "aborted", and what `source` throws; other errors of a trial only end that trial.
 */
export async function runTrials(
  loaded: Loaded,
  env: Environment,
  source: Source,
  options: TrialsOptions = {},
): Promise<Trials> {
  const began = env.platform.wallMs();
  const elapsed = (): number => (env.platform.wallMs() - began) / 1000;
  const start = simplify(loaded.model);
  const { result, ...opened } = await assessBaseline(loaded, env, { simplified: start });
  const errors = new Map(options.doneErrors?.map((own) => [own.recipe, own]));
  const rows = new Map(options.done?.map((row) => [row.recipe, row]));
  const earlier = [...rows.values()];
  const baseline = { ...opened, result: { ...result, latency: basisOf(earlier, result.latency) } };
  const left: Left[] = [];
  const warnings: string[] = [];
  const names = new Set([...source.order, ...rows.keys()]);
  const order = new Map(Array.from(names, (name, i) => [name, i]));
  const soFar = (): SoFar => {
    const placed = [...rows.values()].sort((a, b) => placeOf(a) - placeOf(b));
    const results = [baseline.result, ...placed];
    const known = placed.flatMap(({ recipe }) => errors.get(recipe) ?? []);
    return { results, pareto: paretoOf(results), errors: known };
  };
  const placeOf = ({ recipe }: Result): number => order.get(recipe) ?? order.size;
  const warn = (text: string): void => {
    warnings.push(text);
    env.onEvent({ type: "warning", text });
  };
  const leave = (recipe: string, reason: string, later: boolean): void => {
    left.push({ recipe, reason, later });
  };
  try {
    await options.onRow?.(baseline.result, null, soFar());
    const layerErrors = await createLayerErrors(start, env);
    const proposals = source.propose({ baseline, start });
    let row: Result | null = null;
    for (let done = 0; ; done++) {
      const { value: steps, done: isOver } = await proposals.next(row as never);
      if (isOver || !steps) break;
      await checkpoint(env, "survey");
      const recipe = nameOf(steps);
      const total = source.total ?? done + 1;
      env.onEvent({ type: "progress", what: "survey", done, total });
      row = rows.get(recipe) ?? null;
      if (row) continue;
      const unmet = unmetNeed(steps, env);
      if (unmet) leave(recipe, unmet.what, false);
      else if (options.deadly?.includes(recipe)) {
        leave(recipe, "it was begun more than once and ended the process each time", false);
      } else if (elapsed() > (options.budgetSeconds ?? Infinity)) {
        leave(recipe, `the budget of ${options.budgetSeconds} s was used up`, true);
      } else {
        options.onTrial?.(recipe);
        const file = options.fileOf?.(recipe) ?? null;
        const own = { ...baseline, env: await scoped(env, recipe) };
        const tried = await attempt(own, start, steps, file, layerErrors);
        if ("reason" in tried) {
          leave(recipe, tried.reason, false);
          if (tried.isMistake) warn(`${recipe}: ${tried.reason}`);
        } else {
          row = tried.result;
          if (!order.has(recipe)) order.set(recipe, order.size);
          rows.set(recipe, row);
          errors.set(recipe, tried.errors);
          await options.onRow?.(row, tried.outcome.bytes, soFar());
        }
      }
    }
  } finally {
    await baseline.close();
  }
  const found = soFar();
  return { ...found, baseline: found.results[0], left, warnings, seconds: elapsed() };
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

interface Attempted extends Trial {
  readonly errors: LayerErrors;
}

/**
 * Why there is no trial. `isMistake`: the error is not a TersorError, so the code has a mistake.
 */
interface Failed {
  readonly reason: string;
  readonly isMistake: boolean;
}

/**
 * Runs one trial and returns its error instead of throwing it, so that the survey goes on; only
 * "aborted" is thrown. `start` is the simplified model that recipes share;
 * those that train, or read normalizations, get their own, in which BatchNormalization is kept.
 */
async function attempt(
  baseline: Baseline,
  start: Model,
  steps: readonly Step[],
  file: string | null,
  layerErrors: (recipe: string, model: Model) => Promise<LayerErrors>,
): Promise<Attempted | Failed> {
  try {
    const own = steps.some(keepsNorms) ? simplify(baseline.loaded.model, steps) : start;
    const trial = await runTrial(baseline, own, steps, { file, whole: true });
    return { ...trial, errors: await layerErrors(nameOf(steps), trial.outcome.model) };
  } catch (cause) {
    if (!(cause instanceof TersorError)) {
      return { reason: `internal error: ${cause}`, isMistake: true };
    }
    if (isAborted(cause)) throw cause;
    return { reason: cause.what, isMistake: false };
  }
}
