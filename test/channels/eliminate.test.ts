/** @file Backward elimination on costs written out by hand. */
import { expect, test } from "vitest";
import { eliminateUnits } from "../../src/channels/eliminate.ts";

test("the cheapest unit goes first; scores are sums of costs, and never fall", () => {
  // The costs of units 0, 1, 2, 3 at each removal; once 1 is gone, 3 makes up for it.
  const costs = [
    [4, 3, 6, 5],
    [2, 0, 6, -2],
    [2, 0, 7, 0],
    [0, 0, 9, 0],
  ];
  const removed: number[] = [];
  const scores = eliminateUnits(
    4,
    (unit) => costs[removed.length][unit],
    (unit) => void removed.push(unit),
  );
  // Nothing is brought up to date after the last one.
  expect(removed).toEqual([1, 3, 0]);
  // The sums are 3, 1, 3, 12.
  for (const [i, unit] of [1, 3, 0, 2].entries()) {
    expect(scores[unit]).toBeCloseTo([3, 3, 3, 12][i], 9);
  }
  // Between equal scores the order of removal decides.
  expect([...scores.keys()].sort((a, b) => scores[a] - scores[b])).toEqual([1, 3, 0, 2]);
});
