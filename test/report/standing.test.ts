/** @file How a search stands: the best row, or the three that miss the targets by least. */
import { expect, test } from "vitest";
import type { Result } from "../../src/measure/measurement.ts";
import { aimOf } from "../../src/recipe/search/aim.ts";
import { parseTargets } from "../../src/recipe/target.ts";
import { effortText, standingOf } from "../../src/report/standing.ts";

const row = (recipe: string, raw: number, drop: number): Result =>
  ({
    ...{ recipe, bytes: { raw, gzip: null, brotli: null, packed: null } },
    ...{ metric: { name: "accuracy", drop, flips: drop }, delta: { infer: 1 }, latency: null },
  }) as unknown as Result;
const original = row("original", 1000, 0);
const rows = [
  original,
  row("lossy", 80, 4),
  row("large", 400, 0),
  row("near", 110, 0.4),
  row("small", 50, 9),
];

test("the best row meets the targets and is smallest, or drops least", () => {
  const { says, best, nearest } = standingOf(aimOf(parseTargets("size<=500, drop<=1")), rows);
  expect([says, best, nearest]).toEqual(["Best: near", rows[3], []]);
  expect(standingOf(aimOf(parseTargets("size<=90")), rows).best).toBe(rows[1]);
});

test("the nearest misses come first, with what each misses; the original is none", () => {
  const { says, best, nearest } = standingOf(aimOf(parseTargets("size<=100, drop<=0.5")), rows);
  expect(says).toBe("No recipe met size<=100, drop<=0.5. Nearest:");
  expect(best).toBe(rows[3]);
  // ln(110 / 100) < ln(400 / 100) < ln(1 + 3.5 points); both of "small" are more.
  expect(nearest).toEqual([
    { recipe: "near", misses: "size<=100: it is 110 bytes" },
    { recipe: "large", misses: "size<=100: it is 400 bytes" },
    { recipe: "lossy", misses: "drop<=0.5: it is 4" },
  ]);
  const alone = standingOf(aimOf(parseTargets("size<=100")), [original]);
  expect([alone.best, alone.nearest]).toEqual([original, []]);
});

test("without targets it says how much of the front was found", () => {
  const found = { results: rows, pareto: ["original", "large", "near"], hypervolume: 0.5 };
  expect(effortText(aimOf([]), { ...found, screened: 1 })).toEqual([
    "1 candidate screened, 4 recipes measured.",
    "2 of them no other beats; hypervolume 0.500.",
  ]);
  const aim = aimOf(parseTargets("size<=1"));
  expect(effortText(aim, { ...found, screened: 12 })).toEqual([
    "12 candidates screened, 4 recipes measured.",
  ]);
});
