/** @file Which size each piece gets: by itself, or from one pool for the whole network. */
import { bestChoices, type Choice } from "../numeric/knapsack.ts";
import type { Point } from "./decomposition.ts";
import type { Unit } from "./options.ts";
import type { Piece } from "./piece.ts";

/** The smallest size that keeps the share `energy`; the largest there is if none does. */
export function byEnergy(
  { points, energy: whole }: { readonly points: readonly Point[]; readonly energy: number },
  energy: number,
): Point {
  const allowed = (1 - energy) * whole;
  return points.find(({ error }) => error <= allowed) ?? (points.at(-1) as Point);
}

/** The largest size within a share of what the piece costs; the smallest there is if none is. */
export function byShare({ points, before }: Piece, share: number, unit: Unit): Point {
  const inMacs = unit === "macs" || unit === "milliseconds";
  const fits = points.filter(({ parameters, macs }) =>
    inMacs ? macs <= share * before.macs : parameters <= share * before.params,
  );
  return fits.at(-1) ?? points[0];
}

/**
 * The index of the choice for each item that makes the sum of losses least within a sum of costs.
 * Null if even the cheapest exceed it. As `bestChoices`, whose costs are rounded up; what it leaves
 * of the limit is spent here, on whatever lowers the loss most for its cost.
 */
export function within(items: readonly (readonly Choice[])[], limit: number): number[] | null {
  const taken = bestChoices(items, limit);
  if (!taken) return null;
  let left = limit - sum(items, taken, "cost");
  for (;;) {
    let best = { item: -1, choice: -1, rate: 0 };
    for (const [i, choices] of items.entries()) {
      const own = choices[taken[i]];
      for (const [c, { cost, loss }] of choices.entries()) {
        const [dearer, better] = [cost - own.cost, own.loss - loss];
        if (better <= 0 || dearer > left) continue;
        const rate = dearer > 0 ? better / dearer : Number.POSITIVE_INFINITY;
        if (rate > best.rate) best = { item: i, choice: c, rate };
      }
    }
    if (best.item < 0) return taken;
    left -= items[best.item][best.choice].cost - items[best.item][taken[best.item]].cost;
    taken[best.item] = best.choice;
  }
}

/** The same with the sum of losses limited and that of costs made least. */
export const withinLoss = (items: readonly (readonly Choice[])[], limit: number): number[] | null =>
  within(
    items.map((choices) => choices.map(({ cost, loss }) => ({ cost: loss, loss: cost }))),
    limit,
  );

/** The sum of what is chosen. */
export const sum = (
  items: readonly (readonly Choice[])[],
  chosen: readonly number[],
  of: keyof Choice,
): number => chosen.reduce((total, choice, i) => total + items[i][choice][of], 0);
