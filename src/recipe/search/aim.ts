/** @file Aim: what a search is after: limits to meet, and what it makes least within them. */
import { errors, fail } from "../../errors.ts";
import type { Result } from "../../measure/measurement.ts";
import { hypervolume } from "../../numeric/hypervolume.ts";
import { nearest } from "../../util/nearest.ts";
import { amountOf, kindOf, quantityNames, type Target, targetOn } from "../target.ts";

/** A quantity to improve, and how much it counts beside others. */
export interface Term extends Omit<Target, "limit"> {
  readonly weight: number;
}

export interface Aim {
  /** Limits to meet first. */
  readonly targets: readonly Target[];
  /** The search makes the sum of weight * `costOf` over these least. */
  readonly goal: readonly Term[];
  /** Quantities between which candidates may trade: a front of them is kept. */
  readonly axes: readonly string[];
}

/**
 * What is lost of the quality, whatever was measured: the drop where there are labels, else percent of
 * changed predictions, else decibels of the error. A quantity of goals, not of targets, because its
 * unit depends on the data.
 */
const loss = "loss";

export function lossOf({ metric }: Pick<Result, "metric">): number {
  if (metric === null) return 0;
  const { drop, flips, sqnr } = metric;
  return drop ?? flips ?? (sqnr === null ? 0 : -sqnr);
}

const termOn = (quantity: string, weight = 1): Term =>
  quantity === loss
    ? { text: loss, quantity, sense: "<=", needs: null, weight }
    : { text: quantity, ...targetOn(quantity), weight };

/** Parses quantities with weights, such as "size:1, latency:2". Throws TersorError "bad-target". */
export function parseGoal(text: string): Term[] {
  const names = [...quantityNames, loss];
  return text.split(",").map((part) => {
    const own = part.trim();
    const bad = (why: string, remedy: string) =>
      fail(errors.badTarget(`goal "${own}"`, why, remedy));
    const [, name = "", weight = "1"] = /^([\w-]+)(?:\s*:\s*(.*))?$/.exec(own) ?? [];
    if (!names.includes(name)) {
      const near = nearest(name, names);
      const remedy = near ? `Did you mean "${near}"?` : `Goals: ${names.join(", ")}`;
      throw bad(name ? `"${name}" is nothing to improve` : "says nothing", remedy);
    }
    if (!(Number(weight) > 0) || !Number.isFinite(Number(weight))) {
      throw bad(`"${weight}" is no weight`, `Write for example ${name}:2`);
    }
    return { ...termOn(name, Number(weight)), text: own };
  });
}

const kindOfAxis = (quantity: string) => (quantity === loss ? "quality" : kindOf({ quantity }));

/**
 * The aim of a search. Without a goal it makes least the quantity of the first target on size or speed
 * where the quality is limited too, the loss where it is not, and the raw bytes where nothing but the
 * quality is limited. Without targets and goal, bytes and loss count alike.
 */
export function aimOf(targets: readonly Target[], goal: readonly Term[] | null = null): Aim {
  if (goal) {
    const own = goal.map(({ quantity }) => quantity);
    const isJudged = own.some((quantity) => kindOfAxis(quantity) === "quality");
    return { targets, goal, axes: isJudged ? own : [...own, loss] };
  }
  const limited = targets.find((target) => kindOf(target) !== "quality");
  const isJudged = targets.some((target) => kindOf(target) === "quality");
  const sized = targets.find((target) => kindOf(target) === "size")?.quantity ?? "size";
  const timed = targets.find((target) => kindOf(target) === "speed")?.quantity;
  const usual =
    targets.length === 0
      ? ["size", loss]
      : [limited ? (isJudged ? limited.quantity : loss) : "size"];
  return {
    targets,
    goal: usual.map((quantity) => termOn(quantity)),
    axes: [sized, loss, ...(timed ? [timed] : [])],
  };
}

/** Whether a quantity of this kind has to be known of candidates. */
export const aimsAt = ({ targets, goal, axes }: Aim, is: (quantity: string) => boolean): boolean =>
  axes.some(is) || [...targets, ...goal].some(({ quantity }) => is(quantity));

export const isSpeed = (quantity: string): boolean => kindOfAxis(quantity) === "speed";

/**
 * A quantity as a cost, the less the better: the logarithm of a size or a speed, so that differences
 * are ratios, and points of quality. Infinity where it was not measured.
 */
export function costOf(quantity: string, row: Result): number {
  const value = quantityOf(quantity, row);
  if (value === null || Number.isNaN(value)) return Infinity;
  const sign = termOn(quantity).sense === "<=" ? 1 : -1;
  return sign * (kindOfAxis(quantity) === "quality" ? value : Math.log(value));
}

/** The quantity of a row as it is; null where it was not measured. */
export const quantityOf = (quantity: string, row: Result): number | null =>
  quantity === loss ? lossOf(row) : amountOf({ quantity }, row);

/** What a search makes least once the targets are met. */
export const objective = ({ goal }: Aim, row: Result): number =>
  goal.reduce((sum, { quantity, weight }) => sum + weight * costOf(quantity, row), 0);

export const costsOf = ({ axes }: Aim, row: Result): number[] =>
  axes.map((axis) => costOf(axis, row));

/** The end of each axis of the hypervolume: a hundredth of the bytes, ten times the speed. */
const REACH = { size: Math.log(100), speed: Math.log(10) };
/** Where its end is for quality: points or percent that are lost; the signal beside the error, in dB. */
const WORST = 10;
const BEST_DB = 60;

/** How far a row comes on an axis, from 0 (no better than the original, or too much lost) to 1. */
function gainOf(quantity: string, row: Result, original: Result): number {
  const kind = kindOfAxis(quantity);
  const within = (share: number): number => Math.min(1, Math.max(0, share));
  if (kind !== "quality") {
    const gain = costOf(quantity, original) - costOf(quantity, row);
    return Number.isNaN(gain) ? 0 : within(gain / REACH[kind]);
  }
  if (row.metric === null || row.recipe === original.recipe || row.metric.exact) return 1;
  const { drop, flips, sqnr } = row.metric;
  const lost = drop ?? flips;
  if (lost !== null) return within(1 - lost / WORST);
  return sqnr === null ? 1 : within(sqnr / BEST_DB);
}

/**
 * The share (0..1) of the space between the original and the ends of the axes that the rows dominate:
 * the hypervolume of the front. The first row is the original.
 */
export function volumeOf({ axes }: Aim, [original, ...rows]: readonly Result[]): number {
  return hypervolume(rows.map((row) => axes.map((axis) => gainOf(axis, row, original))));
}
