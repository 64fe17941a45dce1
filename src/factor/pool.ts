/** @file One pool of ranks for the whole network: what each layer keeps is worth most at the outputs. */
import type { Context } from "../context.ts";
import type { Model } from "../ir/model.ts";
import type { Choice } from "../numeric/knapsack.ts";
import { sum, within, withinLoss } from "./choose.ts";
import type { Point } from "./decomposition.ts";
import { effectsOf, type Shift, shiftOf } from "./effects.ts";
import type { Settled } from "./options.ts";
import { type Cut, type Piece, savings } from "./piece.ts";
import { pricesOf } from "./prices.ts";

/** Looks of the bisection over predicted losses. */
const LOOKS = 8;
/** They are searched from the tolerance divided by this to the tolerance times it. */
const SPAN = 16;

/** A piece with its choices: first to stay as it is, then its points. */
interface Item {
  readonly piece: Piece;
  readonly points: readonly (Point | null)[];
  readonly choices: readonly Choice[];
}

/**
 * Chooses a size for every piece, or none:
 *   min sum_l loss_l(r_l)  with  sum_l cost_l(r_l) <= budget sum_l cost_l,  or without a budget
 *   min sum_l cost_l(r_l)  with  sum_l loss_l(r_l) <= change
 * where loss_l is how far the error e_l(r_l) of the piece moves the network's outputs y
 * (effects.ts), and |y' - y|^2 / |y|^2 is measured to stay within `change`. Without records g_l
 * = 1 / energy_l, and 1 - energy of the pieces' mean is the limit.
 */
export async function pool(
  model: Model,
  pieces: readonly Piece[],
  options: Settled,
  context: Context,
): Promise<Cut[]> {
  const { energy, change, budget, unit, records } = options;
  const shift =
    context.hasCalibration && options.weighting !== "none"
      ? await shiftOf(model, records, context)
      : null;
  const prices = await pricesOf(unit, model, pieces, context);
  const effects = shift
    ? await effectsOf(model, pieces, shift, context)
    : pieces.map(
        ({ energy }) =>
          (error: number) =>
            error / (energy || 1),
      );
  const items = pieces.map((piece, i): Item => {
    const points = savings(piece).filter((point) => prices[i].at(point) < prices[i].now);
    const choices = points.map((point) => ({
      cost: prices[i].at(point),
      loss: effects[i](point.error),
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
      context.warn(
        `a budget of ${budget} is less than the lowest ranks take: each layer gets the lowest that saves ${unit}`,
      );
      taken = choices.map((own) => own.reduce((a, b, i) => (b.cost < own[a].cost ? i : a), 0));
    }
  } else if (!shift) taken = withinLoss(choices, (1 - energy) * items.length) as number[];
  else {
    const moved = (taken: readonly number[]) => shift(cutsOf(items, taken));
    taken = await withinTolerance(choices, change, moved, context);
  }
  const cuts = cutsOf(items, taken);
  for (const [i, { piece }] of items.entries()) {
    if (taken[i] > 0) continue;
    const why =
      items[i].points.length > 1
        ? whyStays(budget, shift)
        : `has no rank that would save ${unit === "parameters" ? "work" : unit}`;
    context.skip(piece.node.name, why);
  }
  await tell(cuts, sum(choices, taken, "loss"), shift, context);
  return cuts;
}

/** Why a layer stays that has ranks which would save something. */
function whyStays(budget: number, shift: Shift | null): string {
  if (budget > 0) return "stays: the budget has room for it as it is";
  return shift
    ? "stays: the outputs need it as it is"
    : "stays: its ranks that save work keep too little energy";
}

/**
 * The choice that costs least while the outputs move by at most `tolerance`. The moves of the pieces
 * add up or worse, so that a bisection finds how large their predicted sum may be.
 */
async function withinTolerance(
  choices: readonly (readonly Choice[])[],
  tolerance: number,
  shift: (taken: readonly number[]) => Promise<number>,
  context: Context,
): Promise<number[]> {
  let best = choices.map(() => 0);
  const most = choices.reduce((total, own) => total + Math.max(...own.map(({ loss }) => loss)), 0);
  let [low, high] = [tolerance / SPAN, Math.min(most, tolerance * SPAN)];
  // At least once: what moves nothing at all may be cut, however little is accepted.
  for (let look = 0; look === 0 || (look < LOOKS && low < high); look++) {
    await context.progress(look, LOOKS);
    const allowed = look === 0 ? Math.min(tolerance, high) : Math.sqrt(low * high);
    const taken = withinLoss(choices, allowed) as number[];
    if ((await shift(taken)) <= tolerance) [best, low] = [taken, allowed];
    else high = allowed;
  }
  return best;
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
