/** @file New recipes from good ones: other values, steps more or less, halves of two recipes. */

import type { Node } from "../../ir/graph.ts";
import { familyOf } from "../../methods/index.ts";
import type { Family } from "../../methods/method.ts";
import type { Random } from "../../numeric/random.ts";
import { describeOptions, type OptionInfo } from "../../options.ts";
import { type Choice, passing } from "../layer-choice.ts";
import { formatRecipe, parseRecipe, type Step } from "../steps.ts";

/** A recipe. */
export type Genes = readonly Step[];

/**
 * The order of steps in a recipe: first what changes the layers, last how weights are stored. A
 * method of storage before one that replaces layers would be undone by it.
 */
const order: readonly Family[] = [
  "distillation",
  "filters",
  "pruning",
  "low-rank",
  "structured",
  "other",
  "quantization",
];
const placeOf = ({ id }: Step): number => order.indexOf(familyOf(id));

/** The steps in the order of their families; of each family in the order given. */
export const sorted = (steps: Genes): Step[] => [...steps].sort((a, b) => placeOf(a) - placeOf(b));

/** What variations are made of. */
export interface Pool {
  /** Recipes that did something, the best first. */
  readonly atoms: readonly Genes[];
  /** The layers with weights. */
  readonly layers: readonly Node[];
  readonly random: Random;
}

/** Steps in one recipe, at most. */
const most = 4;
/** One in so many. */
const SELDOM = 4;

type Variation = (genes: Genes, other: Genes, pool: Pool) => Genes | null;

/**
 * Some of the options that are worth varying get values near those that they have: one, or with half
 * the chance each time one more, because some settings pay only together.
 */
const turn: Variation = (genes, other, pool) => {
  const turned = turnOne(genes, other, pool);
  return turned && pool.random.int(2) === 0 ? turn(turned, other, pool) : turned;
};

const turnOne: Variation = (genes, _, { random }) => {
  const knobs = genes.flatMap((step, at) =>
    describeOptions(step.method.options)
      .filter(({ search }) => search.length > 0)
      .map((info) => ({ at, info })),
  );
  if (knobs.length === 0) return null;
  const { at, info } = knobs[random.int(knobs.length)];
  const value = near(info, genes[at].options[info.name], random);
  return replaced(genes, at, { [info.name]: value });
};

/** A value that the option's declaration lists, or for a number one between it and the present. */
export function near({ search, type, minimum, maximum }: OptionInfo, now: unknown, random: Random) {
  const listed = search[random.int(search.length)];
  if (type !== "number" || typeof listed !== "number" || typeof now !== "number") return listed;
  const isWhole = [now, ...search].every(Number.isInteger);
  const mixed = now + (listed - now) * (0.25 + random.float());
  const rounded = isWhole ? Math.round(mixed) : Number(mixed.toPrecision(2));
  return Math.min(maximum ?? Infinity, Math.max(minimum ?? -Infinity, rounded));
}

/**
 * A step of another recipe is added, at the place of its family; seldom a second one that stores
 * weights, which finds little left to store.
 */
const add: Variation = (genes, _, { atoms, random }) => {
  if (genes.length >= most || atoms.length === 0) return null;
  // The better half of the atoms twice as often.
  const at = Math.min(random.int(atoms.length), random.int(atoms.length));
  const [step] = atoms[at];
  if (!step || genes.some(({ id }) => id === step.id)) return null;
  if (stores(step) && genes.some(stores) && random.int(SELDOM) > 0) return null;
  return sorted([...genes, step]);
};

const drop: Variation = (genes, _, { random }) =>
  genes.length < 2 ? null : genes.filter((__, i, { length }) => i !== random.int(length));

/** Whether the step decides how weights are stored; one that prepares for that does not. */
const stores = ({ id, method }: Step): boolean =>
  familyOf(id) === "quantization" && method.prepares === undefined;

/** The steps of one recipe that change layers, and those of another that store them. */
const cross: Variation = (genes, other) => {
  const mixed = [...genes.filter((step) => !stores(step)), ...other.filter(stores)];
  return mixed.length > 0 && mixed.length <= most ? mixed : null;
};

/** A layer is left out of one step, or goes from one step to another that has layers of its own. */
const spare: Variation = (genes, _, { layers, random }) => {
  const choosy = genes.flatMap((step, at) => ("except" in step.options ? [at] : []));
  if (choosy.length === 0 || layers.length < 2) return null;
  const at = choosy[random.int(choosy.length)];
  const { only, except } = genes[at].options as unknown as Choice;
  const own = passing(layers, { only, except });
  if (own.length < 2) return null;
  const { name } = own[random.int(own.length)];
  const left = replaced(genes, at, { except: [...except, name] });
  const others = choosy.filter(
    (i) => i !== at && (genes[i].options as unknown as Choice).only.length,
  );
  if (only.length === 0 || others.length === 0) return left;
  const to = others[random.int(others.length)];
  const given = genes[to].options as unknown as Choice;
  const taken = replaced(genes, at, { only: only.filter((glob) => glob !== name) });
  return replaced(taken, to, { only: [...given.only, name] });
};

const variations: readonly Variation[] = [turn, turn, add, drop, cross, spare];

/** A recipe made from two, unlike both; null if none of a few tries gave one. */
export function vary(genes: Genes, other: Genes, pool: Pool): Step[] | null {
  const known = [formatRecipe(genes), formatRecipe(other)];
  for (let i = 0; i < 8; i++) {
    const variation = variations[pool.random.int(variations.length)];
    const made = variation(genes, other, pool);
    if (!made || made.length === 0) continue;
    const checked = valid(made);
    if (checked && !known.includes(formatRecipe(checked))) return checked;
  }
  return null;
}

/** The steps, if their options are accepted; null else. */
function valid(steps: Genes): Step[] | null {
  const isFine = steps.every(({ method, options }) => method.options.safeParse(options).success);
  return isFine ? parseRecipe(formatRecipe(steps)) : null;
}

const replaced = (genes: Genes, at: number, options: Readonly<Record<string, unknown>>): Step[] =>
  genes.map((step, i) => (i === at ? { ...step, options: { ...step.options, ...options } } : step));

/** A recipe at random: one to three methods of different families, each with values at random. */
export function drawn({ atoms, random }: Pool): Step[] {
  const count = 1 + random.int(3);
  const steps: Step[] = [];
  for (let i = 0; i < count; i++) {
    const [step] = atoms[random.int(atoms.length)];
    if (steps.some(({ id }) => familyOf(id) === familyOf(step.id))) continue;
    const turned = Object.fromEntries(
      describeOptions(step.method.options)
        .filter(({ search }) => search.length > 0)
        .map((info) => [info.name, near(info, step.options[info.name], random)]),
    );
    steps.push({ ...step, options: { ...step.options, ...turned } });
  }
  return valid(sorted(steps)) ?? [...atoms[0]];
}
