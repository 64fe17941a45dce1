/** @file Multiple-choice knapsack: one option for each item, least total loss within a budget. */

/** One way to take an item. */
export interface Choice {
  /** What it takes of the budget, >= 0. */
  readonly cost: number;
  readonly loss: number;
}

/**
 * Parts into which the budget is cut, unless whole costs can be counted one by one. Costs are rounded
 * up, so the budget is never exceeded.
 */
const CELLS = 4096;

/**
 * The index of the choice for each item that makes the sum of losses least while the sum of costs is
 * at most `budget`; null if even the cheapest choices exceed it. Dynamic programming over the items
 * and what is left of the budget above the cheapest choices.
 */
export function bestChoices(
  items: readonly (readonly Choice[])[],
  budget: number,
): number[] | null {
  const cheapest = items.map((choices) => Math.min(...choices.map(({ cost }) => cost)));
  const spare = budget - cheapest.reduce((a, b) => a + b, 0);
  if (spare < 0) return null;
  const isWhole = items.every((choices) => choices.every(({ cost }) => Number.isInteger(cost)));
  const cell = (isWhole && spare <= CELLS) || spare === 0 ? 1 : spare / CELLS;
  const cells = Math.floor(spare / cell);
  const extraOf = (i: number, { cost }: Choice): number =>
    Math.ceil((cost - cheapest[i]) / cell - 1e-9);
  let losses = new Float64Array(cells + 1);
  const taken: Uint16Array[] = [];
  for (const [i, choices] of items.entries()) {
    const next = new Float64Array(cells + 1).fill(Infinity);
    const by = new Uint16Array(cells + 1);
    for (const [c, choice] of choices.entries()) {
      const extra = extraOf(i, choice);
      for (let used = extra; used <= cells; used++) {
        const total = losses[used - extra] + choice.loss;
        if (total < next[used]) [next[used], by[used]] = [total, c];
      }
    }
    losses = next;
    taken.push(by);
  }
  let used = cells;
  const found = new Array<number>(items.length);
  for (let i = items.length - 1; i >= 0; i--) {
    found[i] = taken[i][used];
    used -= extraOf(i, items[i][found[i]]);
  }
  return found;
}

/** A way to take an item that takes of two budgets. */
export interface TwoCosts extends Choice {
  readonly time: number;
}

/** Halvings of the interval of prices. */
const HALVINGS = 40;

/**
 * The same with a second budget: least sum of losses with sum of costs <= `budget.cost` and sum of
 * times <= `budget.time`; null if no choice fits both. By Lagrange's method: `bestChoices` within the
 * times, of losses + lambda cost, with the least lambda >= 0 that meets the other budget. No choice that
 * fits has both a smaller loss and a smaller cost.
 */
export function bestWithinBoth(
  items: readonly (readonly TwoCosts[])[],
  budget: { readonly cost: number; readonly time: number },
): number[] | null {
  const at = (lambda: number): number[] | null =>
    bestChoices(
      items.map((choices) =>
        choices.map(({ cost, loss, time }) => ({ cost: time, loss: loss + lambda * cost })),
      ),
      budget.time,
    );
  const costOf = (taken: readonly number[]): number =>
    taken.reduce((sum, c, i) => sum + items[i][c].cost, 0);
  const fits = (taken: readonly number[] | null): taken is number[] =>
    taken !== null && costOf(taken) <= budget.cost * (1 + 1e-12);
  const free = at(0);
  if (free === null || fits(free)) return free;
  const losses = items.flatMap((choices) => choices.map(({ loss }) => loss));
  // Beyond this price the cheapest choices are taken, whatever they lose.
  let high = 1e6 * (losses.reduce((sum, loss) => sum + Math.abs(loss), 0) || 1);
  let best = at(high);
  if (!fits(best)) return null;
  let low = 0;
  for (let i = 0; i < HALVINGS; i++) {
    // Prices of many sizes: by factors, once the lower end is known not to be 0.
    const middle = low > 0 ? Math.sqrt(low * high) : high / 1e4;
    const taken = at(middle);
    if (fits(taken)) [best, high] = [taken, middle];
    else low = middle;
  }
  return best;
}
