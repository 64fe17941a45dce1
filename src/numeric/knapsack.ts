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
