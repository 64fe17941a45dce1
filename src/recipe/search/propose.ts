/** @file What a search tries next, from what it has seen: methods, tables of layers, variations. */

import type { Result } from "../../measure/measurement.ts";
import { familyOf } from "../../methods/index.ts";
import { createRandom } from "../../numeric/random.ts";
import { describeOptions } from "../../options.ts";
import { inLanes } from "../../util/lanes.ts";
import type { Environment } from "../environment.ts";
import { withoutRescue } from "../layer-choice.ts";
import { unmetNeed } from "../needs.ts";
import { formatRecipe, isTraining, parseRecipe, type Step } from "../steps.ts";
import { surveyRecipes } from "../survey.ts";
import { kindOf, type Target } from "../target.ts";
import type { Ground } from "../trials.ts";
import { type Aim, aimsAt, isSpeed, lossOf, volumeOf } from "./aim.ts";
import {
  byLayer,
  isChoosy,
  type LayerTable,
  largeLayers,
  layerTable,
  leastBytes,
} from "./by-layer.ts";
import {
  type Candidate,
  compareRows,
  type Screened,
  select,
  steadied,
  violation,
} from "./candidate.ts";
import { drawn, vary } from "./vary.ts";
import { createWatch } from "./watch.ts";

/** Shares of the budget after which the methods are not tried one by one, and layers not alone. */
const METHODS = 0.35;
const LAYERS = 0.55;
/** Candidates that vary, and variations of a generation. */
const PARENTS = 12;
const CHILDREN = 6;
/** One in so many of a generation is drawn at random. */
const DRAWN = 3;
/** Points above the limit at which a candidate is not measured in full, where others are nearer. */
const HOPELESS = 8;
/** Ways to compress a layer that compete in the table of layers. */
const WAYS = 3;
/** The share of the space that a candidate has to add to the front, to be measured in full. */
const WORTH = 0.001;
/** Draws at random, one after another, that were all drawn before: then there is nothing else. */
const REPEATS = 100;

/** What decides a search. */
export interface SearchPlan {
  readonly aim: Aim;
  /** Seconds of work, of all runs that were interrupted together. */
  readonly budgetSeconds: number;
  /** "random" draws recipes and measures them: what every other search has to beat. */
  readonly strategy: "evolve" | "random";
}

/** What a search remembers: a run that goes on finds here what the one before has measured. */
export interface Memory {
  /** What was screened before, by the number of records and the recipe. */
  recall(key: string): Screened | null;
  /** Seconds of work so far; work that is recalled counts as it did. */
  spent(): number;
  /** Begins a work; the function that is returned ends it and gives its share of the time. */
  begin(): () => number;
  /** Whether no further row is wanted. Waits for trials at work, where that depends on them. */
  isFull(): Promise<boolean>;
  /** Called with each new measurement. */
  keep(key: string, found: Screened): Promise<void> | void;
}

/**
 * The recipes of a search, each to be measured in full. The order depends on nothing but the plan,
 * the seed and what was screened: several recipes are screened at a time, but their results are taken
 * in the order in which they were proposed. Rows of trials decide nothing but when there are enough.
 *
 * 1. Every method alone is screened on a few records. 2. For those on the front, each layer alone;
 * from that table dynamic programming makes recipes for several sizes. 3. The best of all vary, by
 * NSGA-II, and now and then the most promising is measured in full, with training if it lacks but
 * quality.
 */
export async function* proposals(
  ground: Ground,
  env: Environment,
  plan: SearchPlan,
  memory: Memory,
): AsyncGenerator<readonly Step[], void> {
  const { aim, budgetSeconds } = plan;
  const original = ground.baseline.result;
  const random = createRandom(env.seed).fork("search");
  const isOver = async (share = 1): Promise<boolean> =>
    memory.spent() >= share * budgetSeconds || (await memory.isFull());
  const watch = createWatch(ground, env, { aim, mostSeconds: longest(plan) }, memory);
  const atoms = quickRecipes(env);
  const layers = largeLayers(ground.start);
  const known = new Map<string, Candidate>();
  /** Names of the recipes that were handed over for a row. */
  const given = new Set<string>();
  yield [];
  if (plan.strategy === "random") {
    for (let again = 0; again < REPEATS && !(await isOver()); ) {
      const steps = drawn({ atoms, layers, random });
      const recipe = formatRecipe(steps);
      again = given.has(recipe) ? again + 1 : 0;
      if (again === 0) yield steps;
      given.add(recipe);
    }
    return;
  }
  const slow = new Set<string>();
  /** Screens those that are new; each begins only if `goesOn`. */
  const tryOut = async (
    recipes: readonly (readonly Step[])[],
    goesOn: (steps: readonly Step[]) => Promise<boolean>,
  ): Promise<void> => {
    const named = recipes.map((steps) => [formatRecipe(steps), steps] as const);
    const fresh = [...new Map(named)].filter(([recipe]) => !known.has(recipe));
    const found = await inLanes(fresh, ground.runner.lanes, async ([, steps]) => {
      if (!(await goesOn(steps))) return null;
      const { row, isSlow } = await watch.judged(steps);
      if (isSlow) slow.add(steps[0].id);
      return row;
    });
    for (const [i, [recipe, steps]] of fresh.entries()) {
      const row = found[i];
      if (row) known.set(recipe, { recipe, steps, row });
    }
  };
  async function* promising(few: number): AsyncGenerator<readonly Step[]> {
    // A front is worth as much as there is of it: all that add to it are measured.
    const count = aim.targets.length === 0 ? Infinity : few;
    for (let i = 0; i < count && !(await isOver()); i++) {
      const next = mostPromising(aim, original, steady([...known.values()]), given);
      if (!next) return;
      given.add(next.recipe);
      yield next.steps;
    }
  }

  // Other settings of a method that took too long are not tried.
  await tryOut(
    inTurn(atoms, aimsAt(aim, isSpeed)),
    async ([{ id }]) => !slow.has(id) && !(await isOver(METHODS)),
  );
  yield* promising(2);

  const ways = select(aim, steady([...known.values()]), known.size)
    .filter(({ steps }, i, all) => isChoosy(steps) && i === firstOf(all, steps[0].id))
    .slice(0, WAYS);
  if (ways.length > 0 && !(await isOver(LAYERS))) {
    const steps = ways.flatMap((way) => settingsNear(way.steps[0]));
    const table = await layerTable(ground.start, steps, watch.few, {
      lanes: ground.runner.lanes,
      goesOn: async () => !(await isOver(LAYERS)),
    });
    const made = sizesFor(aim.targets, table).flatMap((bytes) => {
      const mixed = byLayer(table, bytes);
      return mixed ? [mixed] : [];
    });
    await tryOut(made, async () => !(await isOver()));
    yield* promising(2);
  }

  const trained = trainedRecipes(env);
  for (let idle = 0, turn = 0; !(await isOver()) && idle < 5; turn++) {
    const parents = select(aim, steady([...known.values()]), PARENTS);
    const before = known.size;
    const pool = {
      ...{ layers, random },
      atoms: select(aim, [...known.values()], known.size)
        .filter(({ steps }) => steps.length === 1)
        .map(({ steps }) => steps),
    };
    const children: (readonly Step[])[] = [];
    for (let i = 0; i < CHILDREN && parents.length > 0; i++) {
      const [a, b] = [parents[random.int(parents.length)], parents[random.int(parents.length)]];
      // Some owe nothing to what is known, so that the search does not stay where it began.
      const child = i % DRAWN === DRAWN - 1 ? drawn(pool) : vary(a.steps, b.steps, pool);
      if (child) children.push(child);
    }
    await tryOut(children, async () => !(await isOver()));
    yield* promising(1);
    idle = known.size === before ? idle + 1 : 0;
    if (turn % 3 === 2 && !(await isOver())) {
      const next = toTrain(aim, steady([...known.values()]), given, env) ?? trained.shift();
      if (next) yield next;
    }
  }
}

/**
 * The methods of a survey that train nothing (they may look at gradients) and whose needs are met,
 * without rescue.
 */
function quickRecipes(env: Environment): Step[][] {
  return surveyRecipes(true)
    .filter((steps) => steps.length > 0 && !steps.some(isTraining))
    .filter((steps) => unmetNeed(steps, env) === null)
    .map((steps) => steps.map(withoutRescue));
}

/** Seconds after which a candidate is given up. */
const longest = ({ budgetSeconds }: SearchPlan): number => Math.max(5, budgetSeconds / 25);

/** Families that reach a target on size soonest; and those that reach one on speed. */
const storing: readonly string[] = ["quantization", "pruning"];
const quickening: readonly string[] = ["low-rank", "pruning", "filters", "other"];

/** Recipes of the families that promise most first; what quickens first for a target on speed. */
function inTurn(atoms: readonly Step[][], isTimed: boolean): Step[][] {
  const rank = ([step]: readonly Step[]): number => {
    if (isTimed && step.method.quickens) return 0;
    return (isTimed ? quickening : storing).includes(familyOf(step.id)) ? 1 : 2;
  };
  return [...atoms].sort((a, b) => rank(a) - rank(b));
}

/** Those that train, of the methods that store weights in few bits. */
function trainedRecipes(env: Environment): Step[][] {
  if (!env.training) return [];
  return surveyRecipes(true).filter(
    (steps) => steps.some(isTraining) && unmetNeed(steps, env) === null,
  );
}

/** Candidates with drops as `steadied` estimates them. */
function steady(candidates: readonly Candidate[]): Candidate[] {
  let [drops, flips] = [0, 0];
  for (const { row } of candidates) {
    drops += row.metric?.drop ?? 0;
    flips += row.metric?.flips ?? 0;
  }
  const lost = flips > 0 ? Math.min(1, Math.max(0, drops / flips)) : 0;
  return candidates.map((candidate) => {
    const { row } = candidate;
    return row.metric
      ? { ...candidate, row: { ...row, metric: steadied(row.metric, lost) } }
      : candidate;
  });
}

/**
 * The candidate to measure in full: in turn the best by the targets, and the one with the least loss
 * of those within the limits of size and speed, because a loss on few records may be chance. Without
 * targets the one that adds most to the hypervolume of those that were measured; null if none adds
 * enough.
 */
function mostPromising(
  aim: Aim,
  original: Result,
  candidates: readonly Candidate[],
  given: ReadonlySet<string>,
): Candidate | null {
  const { targets } = aim;
  const rest = candidates.filter(({ recipe }) => !given.has(recipe));
  if (targets.length === 0) {
    const measured = candidates.filter(({ recipe }) => given.has(recipe)).map(({ row }) => row);
    const rows = [original, ...measured];
    const volumes = rest.map(({ row }) => volumeOf(aim, [...rows, row]));
    const most = Math.max(...volumes);
    return most < volumeOf(aim, rows) + WORTH ? null : (rest[volumes.indexOf(most)] ?? null);
  }
  const hard = targets.filter((target) => kindOf(target) !== "quality");
  const within = rest.filter(({ row }) => violation(hard, row) === 0);
  const near = within.filter(({ row }) => violation(targets, row) <= Math.log1p(HOPELESS));
  const isSafe = given.size % 2 === 1 && near.length > 0 && hard.length > 0;
  const [best] = isSafe
    ? near.sort((a, b) => lossOf(a.row) - lossOf(b.row))
    : rest.sort((a, b) => compareRows(aim, a.row, b.row));
  return best ?? null;
}

/**
 * The best candidate that lacks nothing but quality, followed by training; null if there is none.
 * Without targets that is one that lost much, which training may give back.
 */
function toTrain(
  { targets }: Aim,
  candidates: readonly Candidate[],
  given: Set<string>,
  env: Environment,
): Step[] | null {
  if (!env.training) return null;
  const hard = targets.filter((target) => kindOf(target) !== "quality");
  const trained = candidates
    .filter(({ row, steps }) => violation(hard, row) === 0 && !steps.some(isTraining))
    .filter(({ row }) => targets.length > 0 || lossOf(row) <= HOPELESS)
    .sort((a, b) => (lossOf(a.row) - lossOf(b.row)) * (targets.length > 0 ? 1 : -1))
    .flatMap(({ steps }) => withTraining(steps))
    .find((steps) => !given.has(formatRecipe(steps)));
  if (trained) given.add(formatRecipe(trained));
  return trained ?? null;
}

/**
 * The recipe followed by training; before that, where it changes layers first, with training between
 * that and the storing, which is often enough and leaves fewer errors to mend.
 */
function withTraining(steps: readonly Step[]): Step[][] {
  const training = parseRecipe("train:loss=distil");
  const at = steps.findIndex(({ id }) => familyOf(id) === "quantization");
  const between = at > 0 ? [[...steps.slice(0, at), ...training, ...steps.slice(at)]] : [];
  return [...between, [...steps, ...training]];
}

/** The place of the best candidate that is this method alone. */
const firstOf = (candidates: readonly Candidate[], id: string): number =>
  candidates.findIndex(({ steps }) => isChoosy(steps) && steps[0].id === id);

/** Settings of a way to compress a layer, at most. */
const SETTINGS = 4;

/**
 * The step, then with other values of the first of its options that are worth varying, which is how
 * much it compresses: what ruins a network as a whole may suit some of its layers.
 */
function settingsNear(step: Step): Step[] {
  const [knob] = describeOptions(step.method.options).filter(({ search }) => search.length > 0);
  const values = knob ? knob.search.filter((value) => value !== step.options[knob.name]) : [];
  const others = values.map((value) => {
    return { ...step, options: { ...step.options, [knob.name]: value } };
  });
  return [step, ...others.slice(0, SETTINGS - 1)];
}

/**
 * Sizes, in bytes, for which a recipe is made from the table of layers; where the limit is below the
 * least that the table reaches, sizes just above that, for training and pruning to go on from.
 */
function sizesFor(targets: readonly Target[], table: LayerTable): number[] {
  const limit = targets.find(({ quantity }) => quantity === "size")?.limit;
  if (limit === undefined)
    return [0.5, 0.35, 0.25, 0.18, 0.12, 0.08].map((share) => share * table.whole);
  return [1, 0.97, 0.9, 0.8, 1.05].map(
    (share) => share * Math.max(limit, 1.02 * leastBytes(table)),
  );
}
