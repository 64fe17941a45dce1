/** @file Which candidate is better, by targets; NSGA-II's choice against brute force. */
import { describe, expect, test } from "vitest";
import type { Metric, Result } from "../../../src/measure/measurement.ts";
import { aimOf, objective, parseGoal, volumeOf } from "../../../src/recipe/search/aim.ts";
import {
  type Candidate,
  compareRows,
  select,
  steadied,
  violation,
} from "../../../src/recipe/search/candidate.ts";
import { excessOf, missedTargets, parseTargets } from "../../../src/recipe/target.ts";

const row = (raw: number, drop: number, infer = 1): Result =>
  ({
    recipe: `${raw}/${drop}`,
    bytes: { raw, gzip: null, brotli: null, packed: raw / 2 },
    metric: { name: "accuracy", drop, flips: 4 * drop },
    delta: { infer },
    latency: { median: 2 / infer },
  }) as unknown as Result;
const candidate = (own: Result): Candidate => ({ recipe: own.recipe, steps: [], row: own });

describe("targets", () => {
  test("are missed by the logarithm of a ratio, or by points", () => {
    const [size, drop, packed] = parseTargets("size<=100, drop<=0.5, packed<=100");
    expect(excessOf(size, row(200, 0))).toBeCloseTo(Math.log(2));
    expect(excessOf(packed, row(200, 0))).toBe(0);
    expect(excessOf(drop, row(200, 2))).toBeCloseTo(Math.log(1 + 1.5));
    expect(excessOf(drop, row(200, 0.5))).toBe(0);
    expect(violation([size, drop], row(200, 2))).toBeCloseTo(Math.log(2.5) + Math.log(2));
    expect(excessOf(size, { ...row(1, 1), bytes: { raw: Number.NaN } } as never)).toBe(Infinity);
  });

  test("latency<=0.5x asks for twice the speed", () => {
    const [target] = parseTargets("latency<=0.5x");
    expect(target).toMatchObject({ quantity: "speedup", limit: 2, text: "latency<=0.5x" });
    expect(missedTargets([target], row(1, 0, 2.5))).toEqual([]);
    expect(excessOf(target, row(1, 0, 1))).toBeCloseTo(Math.log(2));
    // Milliseconds are milliseconds.
    expect(parseTargets("latency<=2")[0]).toMatchObject({ quantity: "latency", limit: 2 });
  });
});

describe("the better row", () => {
  test("misses by less, then is better at what is not quality, then keeps quality", () => {
    const aim = (text: string) => aimOf(parseTargets(text));
    const both = aim("size<=100, drop<=0.5");
    expect(compareRows(both, row(90, 0.4), row(80, 0.6))).toBeLessThan(0);
    expect(compareRows(both, row(90, 0.1), row(80, 0.4))).toBeGreaterThan(0);
    expect(objective(aim("size<=100"), row(90, 0.4))).toBe(0.4);
    expect(objective(aim("drop<=1"), row(90, 0.4))).toBe(Math.log(90));
    expect(objective(aim("speedup>=2, drop<=1"), row(90, 0.4, 3))).toBe(-Math.log(3));
    // Without any target a point of accuracy is worth as much as e times fewer bytes.
    expect(objective(aimOf([]), row(90, 0.4))).toBeCloseTo(Math.log(90) + 0.4);
  });

  test("misses a limit on quality and one on size alike where it is twice the limit", () => {
    const aim = aimOf(parseTargets("size<=100, drop<=2"));
    expect(violation(aim.targets, row(200, 2))).toBeCloseTo(violation(aim.targets, row(100, 4)));
    // A network that guesses is better than one that was left as it is and is 100 times too large.
    expect(compareRows(aim, row(100, 90), row(10_000, 0))).toBeLessThan(0);
  });

  test("makes the sum of the goal's quantities least, by their weights", () => {
    const [small, fast] = [row(50, 0.2, 1), row(100, 0.2, 2)];
    const within = parseTargets("drop<=0.5");
    // Half the bytes against twice the speed.
    const compare = (goal: string) => compareRows(aimOf(within, parseGoal(goal)), small, fast);
    const both = aimOf(within, parseGoal("size, speedup"));
    expect(objective(both, small)).toBeCloseTo(objective(both, fast));
    expect(compare("size:2, speedup")).toBeLessThan(0);
    expect(compare("size, latency:2")).toBeGreaterThan(0);
    // ln 2 = 0.69 for half the bytes, against 0.4 points, or their double.
    const [half, whole] = [row(50, 0.6), row(100, 0.2)];
    expect(compareRows(aimOf([], parseGoal("size, drop")), half, whole)).toBeLessThan(0);
    expect(compareRows(aimOf([], parseGoal("size, drop:2")), half, whole)).toBeGreaterThan(0);
    // The targets come first, whatever the goal says.
    const strict = aimOf(parseTargets("drop<=0.5"), parseGoal("size:100"));
    expect(compareRows(strict, half, whole)).toBeGreaterThan(0);
  });
});

describe("select", () => {
  const targets = aimOf(parseTargets("drop<=100"));
  test("takes whole fronts first", () => {
    // (size, drop): the first three beat each other nowhere; the others are beaten by one of them.
    const fronts = [row(10, 9), row(20, 5), row(30, 1), row(20, 6), row(31, 1), row(40, 40)];
    const chosen = select(targets, fronts.map(candidate), 3).map(({ recipe }) => recipe);
    expect(chosen.toSorted()).toEqual(["10/9", "20/5", "30/1"]);
    const five = select(targets, fronts.map(candidate), 5).map(({ recipe }) => recipe);
    expect(five.slice(3).toSorted()).toEqual(["20/6", "31/1"]);
  });

  test("thins the last front where it is crowded, never at its ends", () => {
    const front = [row(10, 9), row(11, 8.9), row(12, 8.8), row(50, 1)];
    const chosen = select(targets, front.map(candidate), 3).map(({ recipe }) => recipe);
    expect(chosen.toSorted()).toEqual(["10/9", "12/8.8", "50/1"]);
  });

  test("prefers what misses the targets by less, whatever it costs", () => {
    const strict = aimOf(parseTargets("drop<=1"));
    const chosen = select(strict, [row(1, 3), row(99, 0.9), row(50, 2)].map(candidate), 2);
    expect(chosen.map(({ recipe }) => recipe)).toEqual(["99/0.9", "50/2"]);
  });
});

test("a front between the quantities of a goal is kept, with the loss", () => {
  // (speed-up, drop): the largest file is on the front, because nothing is said of bytes.
  const rows = [row(10, 1, 1), row(99, 1, 3), row(50, 0, 2), row(40, 1, 2)];
  const fast = aimOf([], parseGoal("speedup"));
  const chosen = select(fast, rows.map(candidate), 2).map(({ recipe }) => recipe);
  expect(chosen.toSorted()).toEqual(["50/0", "99/1"]);
});

test("the hypervolume is the share between the original, a hundredth of its bytes and ten points", () => {
  const original = { ...row(10_000, 0), recipe: "original" } as Result;
  const volume = (...rows: Result[]) => volumeOf(aimOf([]), [original, ...rows]);
  expect(volume()).toBe(0);
  expect(volume(row(20_000, 0), row(100, 10))).toBe(0);
  // A tenth of the bytes is half way on a logarithmic scale.
  expect(volume(row(1000, 0))).toBeCloseTo(0.5);
  expect(volume(row(1000, 2))).toBeCloseTo(0.5 * 0.8);
  expect(volume(row(1000, 2), row(100, 5), row(2000, 3))).toBeCloseTo(0.5 * 0.8 + 0.5 * 0.5);
});

test.each([
  ["sise", /Did you mean "size"/],
  ["size:0", /no weight/],
  ["size:x", /no weight/],
  ["", /says nothing/],
])("refuses the goal %j", (text, message) => {
  expect(() => parseGoal(text)).toThrow(message);
});

test("a drop on few records is drawn to what the flips tell", () => {
  const metric = { name: "accuracy", drop: 1, flips: 8, baseline: 90, value: 89 } as Metric;
  // Over all candidates a percent of changed predictions costs 0.25 points: 8 % cost 2.
  expect(steadied(metric, 0.25)).toMatchObject({ drop: 1.5, value: 88.5 });
  expect(steadied({ ...metric, drop: -4 }, 0.25)).toMatchObject({ drop: 0, value: 90 });
  const perplexity = { ...metric, name: "perplexity" };
  expect(steadied(perplexity, 0.25)).toBe(perplexity);
});
