/** @file One pool of ranks for the whole network: what each layer keeps is worth most at the outputs. */
import type { Context } from "../context.ts";
import type { Model } from "../ir/model.ts";
import type { Choice } from "../numeric/knapsack.ts";
import { sum, within, withinLoss } from "./choose.ts";
import type { Point } from "./decomposition.ts";
import { type Cut, effectsOf, type Shift, shiftOf } from "./effects.ts";
import type { Settled } from "./options.ts";
import { type Piece, savings } from "./piece.ts";
import { pricesOf } from "./prices.ts";

/** How often the loss is lowered if together the cuts move the outputs further than they should. */
const TRIES = 6;

/** A piece with its choices: first to stay as it is, then its points. */
interface Item {
  readonly piece: Piece;
  readonly points: readonly (Point | null)[];
  readonly choices: readonly Choice[];
}

/**
 * Chooses a size for every piece, or none:
 *   min sum_l loss_l(r_l)  with  sum_l cost_l(r_l) <= budget sum_l cost_l,  or without a budget
 *   min sum_l cost_l(r_l)  with  sum_l loss_l(r_l) <= tolerance
 * where loss_l = g_l e_l(r_l) is what the error e_l of the piece moves the network's outputs
 * (effects.ts), and |y' - y|^2 / |y|^2 is measured to stay within the tolerance. Without records g_l
 * = 1 / energy_l, and 1 - energy of the pieces' mean is the limit.
 */
export async function pool(
  model: Model,
  pieces: readonly Piece[],
  options: Settled,
  context: Context,
): Promise<Cut[]> {
  const { energy, tolerance, budget, unit, records } = options;
  const shift =
    context.hasCalibration && options.weighting !== "none"
      ? await shiftOf(model, records, context)
      : null;
  const prices = await pricesOf(unit, model, pieces, context);
  const effects = shift
    ? await effectsOf(pieces, shift, context)
    : pieces.map(({ energy }) => 1 / (energy || 1));
  const items = pieces.map((piece, i): Item => {
    const points = savings(piece).filter((point) => prices[i].at(point) < prices[i].now);
    const choices = points.map((point) => ({
      cost: prices[i].at(point),
      loss: effects[i] * point.error,
    }));
    return {
      piece,
      points: [null, ...points],
      choices: [{ cost: prices[i].now, loss: 0 }, ...choices],
    };
  });
  const choices = items.map((item) => item.choices);
  let taken: number[] | null;
  if (budget > 0) {
    const limit = budget * prices.reduce((total, { now }) => total + now, 0);
    taken = within(choices, limit);
    if (!taken) {
      context.warn(`a budget of ${budget} is less than the lowest ranks take: all get these`);
      taken = choices.map((own) => own.reduce((a, b, i) => (b.cost < own[a].cost ? i : a), 0));
    }
  } else taken = await withinEnergy(items, shift ? tolerance : (1 - energy) * items.length, shift);
  const cuts = cutsOf(items, taken);
  for (const [i, { piece }] of items.entries()) {
    if (taken[i] > 0) continue;
    const why =
      items[i].points.length > 1
        ? "stays: the outputs need it as it is"
        : "has no rank that would save work";
    context.skip(piece.node.name, why);
  }
  await tell(cuts, sum(choices, taken, "loss"), shift, context);
  return cuts;
}

/** The cheapest choice whose loss, and measured shift, stay within the limit. */
async function withinEnergy(
  items: readonly Item[],
  limit: number,
  shift: Shift | null,
): Promise<number[]> {
  const choices = items.map((item) => item.choices);
  const whole = items.map(() => 0);
  let allowed = limit;
  for (let turn = 0; turn < TRIES; turn++) {
    const taken = withinLoss(choices, allowed) ?? whole;
    const moved = shift ? await shift(cutsOf(items, taken)) : 0;
    if (moved <= limit) return taken;
    allowed *= Number.isFinite(moved) ? Math.min(0.8, limit / moved) : 0.25;
  }
  return whole;
}

const cutsOf = (items: readonly Item[], taken: readonly number[]): Cut[] =>
  items.flatMap(({ piece, points }, i) => {
    const point = points[taken[i]];
    return point ? [{ piece, point }] : [];
  });

async function tell(
  cuts: readonly Cut[],
  predicted: number,
  shift: Shift | null,
  context: Context,
): Promise<void> {
  if (cuts.length === 0) return;
  const parts = cuts.map(({ piece, point }) => {
    const share = point.error / (piece.energy || 1);
    return `${piece.node.name} ${point.ranks.join(" x ")} (error ${share.toPrecision(2)})`;
  });
  context.note(`ranks by layer: ${parts.join(", ")}`);
  if (!shift) return;
  const measured = (await shift(cuts)).toPrecision(2);
  context.note(
    `relative error of the outputs: predicted ${predicted.toPrecision(2)}, measured ${measured}`,
  );
}
