/** @file Sensitivity: how much damage each layer causes where a method is applied to it alone. */
import type { Dataset } from "../data/dataset.ts";
import { errors, fail, isRefusal } from "../errors.ts";
import type { Metric } from "../measure/measurement.ts";
import type { Reference } from "../measure/metric.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { sameBytes } from "../util/bytes.ts";
import { applyRecipe } from "./apply.ts";
import { measureOriginal } from "./assess.ts";
import { checkpoint, type Environment } from "./environment.ts";
import { fewRecords } from "./few-records.ts";
import {
  alone,
  type Choice,
  everything,
  layersOf,
  limited,
  withoutRescue,
} from "./layer-choice.ts";
import type { Loaded } from "./load.ts";
import { measuredFile } from "./measured.ts";
import { checkNeeds } from "./needs.ts";
import {
  formatRecipe,
  isTraining,
  keepsNorms,
  parseRecipe,
  type RecipeInput,
  type Step,
} from "./steps.ts";
import { nameOf, simplify } from "./trial.ts";

export interface SensitivityOptions {
  /** Recipes whose steps take `only` (default: 4 bits, int8 if there is calibration, pruning). */
  readonly recipes?: readonly RecipeInput[] | undefined;
  /** Records to measure on, and at most so many to calibrate on (default 256). */
  readonly records?: number | undefined;
}

/** What a version of the model lost against the original, and what it saved. */
export interface Damage {
  /** SQNR of the outputs, dB; Infinity where they are equal, -Infinity where they are not finite. */
  readonly sqnr: number | null;
  /** Mean KL(original || version) in nats, and percent of changed predictions, of class scores. */
  readonly kl: number | null;
  readonly flips: number | null;
  /** How much worse the metric is, in its units; with labels only. */
  readonly drop: number | null;
  readonly dropCi95: Metric["dropCi95"];
  /** Bytes that the file is smaller than the losslessly simplified original; negative: larger. */
  readonly saved: number;
}

/** A recipe on one layer alone. */
export interface LayerDamage {
  readonly recipe: string;
  /** Null where the recipe does not change the layer. */
  readonly damage: Damage | null;
  /** The layer's share (0..1) of the noise that all layers cause, each alone, with this recipe. */
  readonly share: number;
  /** Why the recipe does not change the layer; null where it does. */
  readonly reason: string | null;
}

export interface LayerSensitivity {
  readonly name: string;
  readonly op: string;
  /** Mean of the layer's shares over the recipes; the layers are sorted by it. */
  readonly share: number;
  /** One entry per recipe, in their order. */
  readonly recipes: readonly LayerDamage[];
}

/** A recipe on all layers, and without those that cause half of its noise. */
export interface RecipeSensitivity {
  readonly recipe: string;
  /** Null where the recipe changes nothing. */
  readonly all: Damage | null;
  /** The fewest layers that cause at least half of the noise, the worst first. */
  readonly except: readonly string[];
  /** Their share (0..1) of the noise. */
  readonly share: number;
  /** The recipe with those layers left out, as text. */
  readonly advice: string;
  /** What that lost; null where it would change nothing. */
  readonly rest: Damage | null;
}

/** The result of `sensitivity`. */
export interface Sensitivity {
  /** Records that were measured on. */
  readonly records: number;
  /** "accuracy", "perplexity" ... that `drop` is of; null without labels. */
  readonly metric: string | null;
  /** How the figures of that metric are read. */
  readonly about?: Metric["about"];
  readonly recipes: readonly RecipeSensitivity[];
  /** The most sensitive layer first. */
  readonly layers: readonly LayerSensitivity[];
}

const defaultRecords = 256;

/** The recipes that are tried where the user names none. */
export const sensitivityRecipes = (hasCalibration: boolean): string[] => [
  "quantize-weights:bits=4",
  ...(hasCalibration ? ["quantize-int8"] : []),
  "prune-magnitude:sparsity=0.5",
];

/** Noise that stands for outputs that are not finite, so that sums of noise stay finite. */
const broken = 1e30;

/**
 * Applies each recipe to each layer of the simplified model alone and measures what the outputs lose
 * against the original. A layer's noise is the power of the error of the outputs as a share of the
 * outputs' own,
 *
 *     noise = 10^(-SQNR / 10),
 *
 * which adds up over layers as far as their errors are independent. So the layers worth leaving out
 * of a recipe are the fewest that have half of the sum.
 *
 * Throws TersorError "bad-usage" without `env.data` (random inputs say nothing of quality),
 * "bad-option" for a recipe that trains, that names layers or that cannot be limited to one, those
 * of `parseRecipe`, "needs-labels" ..., "implausible-baseline" and "aborted".
 */
export async function sensitivity(
  loaded: Loaded,
  env: Environment,
  options: SensitivityOptions = {},
): Promise<Sensitivity> {
  const { data } = checkSensitivity(options, env);
  const recipes = stepsOf(options, env.calibration !== null);
  for (const steps of recipes) checkNeeds(steps, env);
  const few = (all: Dataset) => fewRecords(all, options.records ?? defaultRecords, env.seed);
  const own: Environment = {
    ...env,
    data: few(data),
    calibration: env.calibration && few(env.calibration),
  };
  const { reference, metric } = await originalOf(loaded, own);
  const { name = null, about } = metric ?? {};
  const layers = layersOf(simplify(loaded.model));
  const rows = layers.map(() => [] as LayerDamage[]);
  const found: RecipeSensitivity[] = [];
  const total = recipes.length * (layers.length + 2);
  let done = 0;
  for (const steps of recipes) {
    const recipe = formatRecipe(steps);
    const lose = lossesOf(loaded, steps, reference, own);
    const next = async (choice: Choice): Promise<Lost> => {
      await checkpoint(env, "sensitivity");
      env.onEvent({ type: "progress", what: "sensitivity", done: done++, total });
      return lose(choice);
    };
    const lost: Lost[] = [];
    for (const node of layers) lost.push(await next(alone([node], layers)));
    const shares = sharesOf(lost);
    for (const [i, one] of lost.entries()) rows[i].push({ recipe, share: shares[i], ...one });
    const worst = halfOf(shares);
    const except = worst.map((i) => layers[i].name);
    const left = lost.filter(({ damage }, i) => damage && !worst.includes(i));
    const all = await next(everything);
    const rest = left.length > 0 && except.length > 0 ? await next({ only: [], except }) : null;
    found.push({
      recipe,
      all: all.damage,
      except,
      share: worst.reduce((sum, i) => sum + shares[i], 0),
      advice: formatRecipe(limited(steps, { only: [], except })),
      rest: rest?.damage ?? null,
    });
  }
  const mean = (row: readonly LayerDamage[]) =>
    row.reduce((sum, { share }) => sum + share, 0) / row.length;
  return {
    records: Math.min(data.length, options.records ?? defaultRecords),
    metric: name,
    ...(about && { about }),
    recipes: found,
    layers: layers
      .map(({ name, op }, i) => ({ name, op, share: mean(rows[i]), recipes: rows[i] }))
      .sort((a, b) => b.share - a.share),
  };
}

/**
 * Checks the options before any work. Throws TersorError "bad-usage" without data, and what
 * `sensitivity` throws for recipes.
 */
export function checkSensitivity<D>(
  options: SensitivityOptions,
  { data }: { readonly data?: D | null | undefined },
): { readonly data: D } {
  const { records = defaultRecords } = options;
  if (!data) {
    const why = "has no records to measure on, and random inputs say nothing of quality";
    throw fail(errors.badUsage("sensitivity", why, "Give --data"));
  }
  if (!Number.isInteger(records) || records < 1) {
    const why = `${records} is no number of records`;
    throw fail(errors.badOption("sensitivity", why, "Give a whole number from 1"));
  }
  stepsOf(options, true);
  return { data };
}

/** The steps of the recipes. Throws TersorError for those that cannot be tried layer by layer. */
function stepsOf(options: SensitivityOptions, hasCalibration: boolean): Step[][] {
  const recipes = options.recipes?.length ? options.recipes : sensitivityRecipes(hasCalibration);
  return recipes.map((recipe) => {
    const steps = parseRecipe(recipe);
    const refuse = (why: string, remedy: string) =>
      fail(errors.badOption(nameOf(steps), why, remedy));
    if (steps.every(({ method }) => method.packs)) {
      throw refuse("changes no layer", "Give one with a method that works on layers");
    }
    for (const { id, method, options: given } of steps.filter(({ method }) => !method.packs)) {
      const { only, except } = given as Partial<Choice>;
      if (!("only" in method.options.shape)) {
        const remedy = "Give methods with an option `only`: tersor methods";
        throw refuse(`${id} cannot be applied to one layer alone`, remedy);
      }
      if (only?.length || except?.length) {
        throw refuse(`${id} names layers, and each is tried alone`, "Leave out only and except");
      }
    }
    if (steps.some(isTraining)) {
      throw refuse("trains, which would be a run per layer", "Give recipes that do not train");
    }
    return steps;
  });
}

/** The outputs of the original, and its metric, if it has one. */
async function originalOf(
  loaded: Loaded,
  env: Environment,
): Promise<{ reference: Reference | null; metric: Metric | null }> {
  const session = await env.runtime.open(loaded.source, { threads: env.threads });
  try {
    const evaluation = await measureOriginal(loaded, session, env);
    return {
      reference: evaluation?.reference ?? null,
      metric: evaluation?.metric ?? null,
    };
  } finally {
    await session.close();
  }
}

/** What a recipe on some layers lost, or why it changed nothing. */
type Lost = Pick<LayerDamage, "damage" | "reason">;

/** A function that applies the recipe to the layers of a choice and measures the product. */
function lossesOf(
  loaded: Loaded,
  steps: readonly Step[],
  reference: Reference | null,
  env: Environment,
): (choice: Choice) => Promise<Lost> {
  const start = simplify(loaded.model, steps);
  const plain = steps.some(keepsNorms) ? simplify(loaded.model) : start;
  const before = concat(writeModel(plain)).byteLength;
  const unchanged = concat(writeModel(start));
  return async (choice) => {
    try {
      const { model, bytes, kept, warnings, skipped } = await applyRecipe(
        start,
        limited(steps, choice).map(withoutRescue),
        env,
        { anySize: true },
      );
      if (kept.includes(false)) return { damage: null, reason: warnings.at(-1) ?? "undone" };
      if (sameBytes(bytes, unchanged)) {
        return { damage: null, reason: skipped[0]?.reason ?? "it found nothing to do" };
      }
      const what = formatRecipe(steps);
      const evaluation = await measuredFile({ model, bytes }, env, what, { reference });
      const metric = evaluation?.metric;
      const { sqnr = null, kl = null, flips = null, drop = null, dropCi95 = null } = metric ?? {};
      if (sqnr === null) return { damage: null, reason: "its outputs cannot be compared" };
      const saved = before - bytes.byteLength;
      return { damage: { sqnr, kl, flips, drop, dropCi95, saved }, reason: null };
    } catch (cause) {
      // "no-match" above all: the method does not work on layers of this kind.
      if (!isRefusal(cause)) throw cause;
      return { damage: null, reason: cause.what };
    }
  };
}

/** The share of each in the sum of noise; 0 for what changed nothing. */
function sharesOf(lost: readonly Lost[]): number[] {
  const noise = lost.map(({ damage }) =>
    damage ? Math.min(broken, 10 ** (-(damage.sqnr as number) / 10)) : 0,
  );
  const sum = noise.reduce((a, b) => a + b, 0);
  return noise.map((own) => (sum > 0 ? own / sum : 0));
}

/** The indices of the fewest shares that add up to at least a half, the largest first. */
function halfOf(shares: readonly number[]): number[] {
  const order = shares.map((_, i) => i).sort((a, b) => shares[b] - shares[a]);
  let sum = 0;
  const count = order.findIndex((i) => {
    sum += shares[i];
    return sum >= 0.5;
  });
  return order.slice(0, count + 1);
}
