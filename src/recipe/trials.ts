/** @file Runs trials: each recipe is proposed, applied and judged by a runner, timed, handed over. */
import type { Model } from "../ir/model.ts";
import type { Result } from "../measure/measurement.ts";
import { basisOf } from "../measure/speed.ts";
import { createTurns } from "../util/turns.ts";
import { assessBaseline, type Baseline, timeRow } from "./assess.ts";
import { checkpoint, type Environment } from "./environment.ts";
import type { LayerErrors } from "./layer-errors.ts";
import type { Loaded } from "./load.ts";
import { unmetNeed } from "./needs.ts";
import { paretoOf } from "./pareto.ts";
import { type Failed, failureOf, localRunner, type Runner } from "./runner.ts";
import type { Step } from "./steps.ts";
import { nameOf, simplify } from "./trial.ts";

/** What recipes are proposed from. */
export interface Ground {
  /** The measured original. */
  readonly baseline: Baseline;
  /** The simplified original, from which recipes start. */
  readonly start: Model;
  /** Where recipes are applied. */
  readonly runner: Runner;
}

/** Gives one recipe after the other; `next` receives the row of the one before, null if none. */
export type Proposals = AsyncGenerator<readonly Step[], void, Result | null>;

/** Which recipes are tried, in which order. */
export interface Source {
  /** How many there will be, for progress; null if that is not known. */
  readonly total: number | null;
  /** The names of recipes whose rows are listed in this order, before all others. */
  readonly order: readonly string[];
  /**
   * Whether recipes depend on no row of those before, so that several may run at once; `next` then
   * receives null (default false).
   */
  readonly isFixed?: boolean;
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
  readonly onTrial?: ((recipe: string) => Promise<void> | void) | undefined;
  /** Called after each trial, however it ended, also when the run is aborted. */
  readonly onEnd?: ((recipe: string) => void) | undefined;
  /** Where recipes are applied (default: in this process); the caller closes it. */
  readonly runner?: Runner | undefined;
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
  const order = new Map(source.order.map((name, i) => [name, i]));
  const soFar = (): SoFar => {
    const placed = [...rows.values()].sort((a, b) => placeOf(a) - placeOf(b));
    const results = [baseline.result, ...placed];
    const known = placed.flatMap(({ recipe }) => errors.get(recipe) ?? []);
    return { results, pareto: paretoOf(results), errors: known };
  };
  const placeOf = ({ recipe }: Pick<Result, "recipe">): number => order.get(recipe) ?? order.size;
  const warn = (text: string): void => {
    warnings.push(text);
    env.onEvent({ type: "warning", text });
  };
  const leave = (recipe: string, reason: string, later: boolean): void => {
    left.push({ recipe, reason, later });
  };
  const fail = (recipe: string, { reason, isMistake }: Failed): null => {
    leave(recipe, reason, false);
    if (isMistake) warn(`${recipe}: ${reason}`);
    return null;
  };
  const inTurn = createTurns();
  /** Times a product and hands its row over. Trials that ran at once do so one after another. */
  const settle = async (steps: readonly Step[], runner: Runner): Promise<Result | null> => {
    const recipe = nameOf(steps);
    const tried = await runner.run(steps);
    return inTurn(async () => {
      if ("reason" in tried) return fail(recipe, tried);
      const file = options.fileOf?.(recipe) ?? null;
      const isFromSimplified = steps.length > 0;
      const version = { source: { bytes: tried.bytes }, isFromSimplified, varies: tried.varies };
      const timed = await runner
        .alone(() => timeRow(baseline, { ...tried.row, file }, version))
        .catch(failureOf);
      if ("reason" in timed) return fail(recipe, timed);
      rows.set(recipe, timed);
      errors.set(recipe, tried.errors);
      await options.onRow?.(timed, tried.bytes, soFar());
      return timed;
    });
  };
  const running = new Set<Promise<Result | null>>();
  /** Begins a trial. Waits for it, and gives its row, only where no other may run beside it. */
  const begin = async (steps: readonly Step[], runner: Runner): Promise<Result | null> => {
    const recipe = nameOf(steps);
    await options.onTrial?.(recipe);
    const trial = settle(steps, runner).finally(() => options.onEnd?.(recipe));
    running.add(trial);
    // One that fails stays, so that its error is met by whoever waits for the trials next.
    trial.then(
      () => running.delete(trial),
      () => {},
    );
    const lanes = source.isFixed ? runner.lanes : 1;
    if (lanes === 1) return trial;
    if (running.size >= lanes) await Promise.race(running);
    return null;
  };
  try {
    await options.onRow?.(baseline.result, null, soFar());
    const runner = options.runner ?? (await localRunner(baseline, start, env));
    const proposals = source.propose({ baseline, start, runner });
    let row: Result | null = null;
    for (let begun = 0; ; begun++) {
      const { value: steps, done: isOver } = await proposals.next(row as never);
      if (isOver || !steps) break;
      await checkpoint(env, "survey");
      const recipe = nameOf(steps);
      if (!order.has(recipe)) order.set(recipe, order.size);
      const done = begun - running.size;
      env.onEvent({ type: "progress", what: "survey", done, total: source.total ?? begun + 1 });
      row = rows.get(recipe) ?? null;
      if (row) continue;
      const unmet = unmetNeed(steps, env);
      if (unmet) leave(recipe, unmet.what, false);
      else if (options.deadly?.includes(recipe)) {
        leave(recipe, "it was begun more than once and ended the process each time", false);
      } else if (elapsed() > (options.budgetSeconds ?? Infinity)) {
        leave(recipe, `the budget of ${options.budgetSeconds} s was used up`, true);
      } else row = await begin(steps, runner);
    }
    await Promise.all(running);
  } catch (cause) {
    await options.runner?.close(); // ends the trials that are still at work
    throw cause;
  } finally {
    await Promise.allSettled(running);
    await baseline.close();
  }
  left.sort((a, b) => placeOf(a) - placeOf(b));
  const found = soFar();
  return { ...found, baseline: found.results[0], left, warnings, seconds: elapsed() };
}
