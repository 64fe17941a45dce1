/** @file Multiple-choice knapsack against trying every combination. */
import { expect, test } from "vitest";
import { bestChoices, bestWithinBoth, type Choice } from "../../src/numeric/knapsack.ts";
import { createRandom } from "../../src/numeric/random.ts";

test("no other combination within the budget has a smaller loss", () => {
  const random = createRandom(4);
  for (let trial = 0; trial < 30; trial++) {
    const items = Array.from({ length: 5 }, () =>
      Array.from({ length: 3 }, (): Choice => ({ cost: 1 + random.int(9), loss: random.float() })),
    );
    const budget = 10 + random.int(30);
    let least = Infinity;
    for (let code = 0; code < 3 ** 5; code++) {
      const own = items.map((choices, i) => choices[Math.floor(code / 3 ** i) % 3]);
      if (own.reduce((sum, { cost }) => sum + cost, 0) > budget) continue;
      least = Math.min(
        least,
        own.reduce((sum, { loss }) => sum + loss, 0),
      );
    }
    const found = bestChoices(items, budget);
    if (least === Infinity) {
      expect(found).toBeNull();
      continue;
    }
    const own = (found as number[]).map((c, i) => items[i][c]);
    expect(own.reduce((sum, { cost }) => sum + cost, 0)).toBeLessThanOrEqual(budget);
    expect(own.reduce((sum, { loss }) => sum + loss, 0)).toBeCloseTo(least, 9);
  }
});

test("takes the cheapest where nothing is left, and fails where that is too much", () => {
  const items = [
    [
      { cost: 2, loss: 1 },
      { cost: 4, loss: 0 },
    ],
  ];
  expect(bestChoices(items, 2)).toEqual([0]);
  const uneven = [
    [
      { cost: 0.5, loss: 1 },
      { cost: 0.7, loss: 0 },
    ],
  ];
  expect(bestChoices(uneven, 0.5)).toEqual([0]);
  expect(bestChoices(items, 1)).toBeNull();
  expect(bestChoices(items, 4)).toEqual([1]);
  expect(bestChoices([], 1)).toEqual([]);
});

test("two budgets: fits both if anything does, and nothing that fits is better in loss and cost", () => {
  const random = createRandom(6);
  let seen = 0;
  for (let trial = 0; trial < 40; trial++) {
    const items = Array.from({ length: 4 }, () =>
      Array.from({ length: 4 }, () => ({
        ...{ cost: 1 + random.int(9), time: 1 + random.int(9), loss: random.float() },
      })),
    );
    const budget = { cost: 8 + random.int(16), time: 8 + random.int(16) };
    const sums = (own: readonly (typeof items)[0][0][]) => ({
      cost: own.reduce((sum, { cost }) => sum + cost, 0),
      time: own.reduce((sum, { time }) => sum + time, 0),
      loss: own.reduce((sum, { loss }) => sum + loss, 0),
    });
    const fitting = Array.from({ length: 4 ** 4 }, (_, code) =>
      sums(items.map((choices, i) => choices[Math.floor(code / 4 ** i) % 4])),
    ).filter(({ cost, time }) => cost <= budget.cost && time <= budget.time);
    const taken = bestWithinBoth(items, budget);
    if (fitting.length === 0) {
      expect(taken).toBeNull();
      continue;
    }
    seen++;
    const found = sums((taken as number[]).map((c, i) => items[i][c]));
    expect(found.cost).toBeLessThanOrEqual(budget.cost);
    expect(found.time).toBeLessThanOrEqual(budget.time);
    for (const { cost, loss } of fitting) {
      expect(loss < found.loss - 1e-9 && cost <= found.cost).toBe(false);
    }
  }
  expect(seen).toBeGreaterThan(20);
});
