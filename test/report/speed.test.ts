/** @file Speed-ups in words. */
import { expect, test } from "vitest";
import { interval, speedup, speedups, timeNote } from "../../src/report/speed.ts";

test.each([
  [1.96, [1.93, 2], "1.96x, 1.93-2.00"],
  [1.005, [1.001, 1.009], "1.005x, 1.001-1.009"],
  [1.005, [0.999, 1.011], "no difference, 0.999-1.011"],
  [0.9, [0.7, 1.2], "no difference, 0.70-1.20"],
  [12.3, [11.9, 12.7], "12.3x, 11.9-12.7"],
  [3.251, [3.22, 3.29], "3.25x, 3.22-3.29"], // with the decimals of its interval
  [1.3, null, "1.30x"],
  [null, null, "-"],
] as const)("%s with %j is %s", (value, ci95, text) => {
  expect(speedup(value, ci95)).toBe(text);
});

test("an interval that is not finite is none", () => {
  expect(interval([1, Number.POSITIVE_INFINITY])).toBe("-");
});

test("what simplifying alone gave is told apart", () => {
  const ci95 = { infer: [1.28, 1.33], recipe: [0.99, 1.02], train: null } as const;
  expect(speedups({ infer: 1.31, recipe: 1.01, train: null, ci95 })).toBe(
    "1.31x, 1.28-1.33; beyond simplifying: no difference, 0.99-1.02",
  );
});

test("a heading's note names the clock, the threads and what the figure is", () => {
  const around = { median: 1, p90: 1, n: 1, runtime: "node", batch: 4 };
  const note = timeNote({ ...around, clock: "wall", threads: 2 });
  expect(note).toMatch(
    /^wall ms: median of single runs \(time on the wall clock, 2 threads, batch 4\)/,
  );
  expect(timeNote({ ...around, clock: "cpu", threads: 1 })).toContain(
    "CPU time of the process, 1 thread",
  );
});
