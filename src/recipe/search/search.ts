/** @file Search: looks for a recipe that meets targets; what it has is saved after every step. */
import { errors, fail } from "../../errors.ts";
import type { Result } from "../../measure/measurement.ts";
import { sharedTime } from "../../util/shared-time.ts";
import type { Environment } from "../environment.ts";
import type { Loaded } from "../load.ts";
import { checkTargets, missedTargets, type Target } from "../target.ts";
import { nameOf } from "../trial.ts";
import {
  type Ground,
  type Proposals,
  runTrials,
  type Trials,
  type TrialsOptions,
} from "../trials.ts";
import { type Aim, aimOf, type Term, volumeOf } from "./aim.ts";
import { compareRows, type Screened } from "./candidate.ts";
import { usual } from "./options.ts";
import { type Memory, proposals, type SearchPlan } from "./propose.ts";

/** What a search aims at and where it reports; everything has a default. */
export interface SearchOptions extends Omit<TrialsOptions, "budgetSeconds"> {
  /** Limits to meet (default: none, and the front between the goal's quantities is looked for). */
  readonly targets?: readonly Target[] | undefined;
  /** What to make least within them, see `aimOf`. */
  readonly goal?: readonly Term[] | undefined;
  /**
   * Seconds of work, of all runs that were interrupted together (default 600; none where `trials` are
   * given, so that nothing depends on the clock).
   */
  readonly budgetSeconds?: number | undefined;
  /** Rows, at most (default: as many as there is time for). */
  readonly trials?: number | undefined;
  /** Default "evolve"; "random" draws recipes, to compare with. */
  readonly strategy?: SearchPlan["strategy"] | undefined;
  /** What an earlier, interrupted run has screened, by its key. */
  readonly screened?: ReadonlyMap<string, Screened> | undefined;
  /** Seconds that the rows of `done` took, by recipe. */
  readonly rowSeconds?: ReadonlyMap<string, number> | undefined;
  /** Called with the seconds of each trial, after `onEnd`. */
  readonly onSeconds?: (recipe: string, seconds: number) => void;
  /** Called with each candidate that was screened. */
  readonly onScreened?: (key: string, found: Screened) => Promise<void> | void;
}

export interface Found extends Trials {
  /** The row that meets all targets and is best, or misses them by least. */
  readonly best: Result;
  /** A sentence for each target that it misses. */
  readonly missed: readonly string[];
  /** See `volumeOf`. */
  readonly hypervolume: number;
  /** Candidates that were screened. */
  readonly screened: number;
}

/**
 * Searches for recipes that meet the targets and suit the goal. Throws TersorError "bad-target" for
 * quantities that cannot be measured on the data, "needs-data" without calibration records, and what
 * `runTrials` throws.
 */
export async function search(
  loaded: Loaded,
  env: Environment,
  options: SearchOptions,
): Promise<Found> {
  const { targets = [], goal, trials, strategy = usual.strategy, done = [], rowSeconds } = options;
  const aim = aimOf(targets, goal);
  const most = trials ?? Infinity;
  const { budgetSeconds = trials === undefined ? usual.budgetSeconds : Infinity } = options;
  checkTargets([...targets, ...(goal ?? [])], env.data, env.metric);
  if (!env.calibration) throw fail(errors.needsData("search", ""));
  const screened = new Map(options.screened);
  // Measurements of an earlier run count when the search comes to them, so that it takes its course.
  const counted = new Set<string>();
  let spent = 0;
  let rows = 0;
  const count = (key: string, seconds: number): void => {
    if (!counted.has(key)) spent += seconds;
    counted.add(key);
  };
  const begin = sharedTime(env.platform.wallMs);
  /** Trials at work, by recipe: what ends the time that each counts. */
  const working = new Map<string, () => number>();
  let waiting: (() => void)[] = [];
  const memory: Memory = {
    recall(key) {
      const found = screened.get(key) ?? null;
      if (found) count(key, found.seconds);
      return found;
    },
    spent: () => spent,
    begin,
    async isFull() {
      // As long as all that are at work may give rows and would then be enough, nothing is sure.
      while (rows < most && rows + working.size >= most) {
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
      return rows >= most;
    },
    keep(key, found) {
      screened.set(key, found);
      count(key, found.seconds);
      return options.onScreened?.(key, found);
    },
  };
  const plan = { aim, budgetSeconds, strategy };
  const source = {
    total: null,
    order: [],
    isFixed: true,
    propose: async function* (ground: Ground): Proposals {
      const known = new Set(done.map(({ recipe }) => recipe));
      const proposed = new Set<string>();
      for await (const steps of proposals(ground, env, plan, memory)) {
        const recipe = nameOf(steps);
        if (proposed.has(recipe)) continue;
        proposed.add(recipe);
        if (known.has(recipe)) {
          rows++;
          spent += rowSeconds?.get(recipe) ?? 0;
        }
        yield steps;
      }
    },
  };
  const found = await runTrials(loaded, env, source, {
    ...options,
    budgetSeconds: undefined,
    onTrial(recipe) {
      working.set(recipe, begin());
      return options.onTrial?.(recipe);
    },
    onRow(row, bytes, soFar) {
      if (bytes) rows++;
      return options.onRow?.(row, bytes, soFar);
    },
    onEnd(recipe) {
      const took = working.get(recipe)?.() ?? 0;
      working.delete(recipe);
      options.onEnd?.(recipe);
      const before = rowSeconds?.get(recipe);
      if (before === undefined) options.onSeconds?.(recipe, took);
      spent += before ?? took;
      for (const wake of waiting) wake();
      waiting = [];
    },
  });
  const [, ...results] = found.results;
  const best = bestOf(aim, results) ?? found.baseline;
  const missed = missedTargets(targets, best);
  const hypervolume = volumeOf(aim, found.results);
  return { ...found, best, missed, hypervolume, screened: screened.size };
}

/** The row that meets the targets and is best, or misses them by least; null without rows. */
export function bestOf(aim: Aim, rows: readonly Result[]): Result | null {
  return [...rows].sort((a, b) => compareRows(aim, a, b))[0] ?? null;
}
