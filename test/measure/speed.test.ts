/** @file What an interval says of a speed-up, and the basis of times. */
import { expect, test } from "vitest";
import { type Latency, untimed } from "../../src/measure/measurement.ts";
import { basisOf, isSame, knownSpeedup, onBasis } from "../../src/measure/speed.ts";

const latency: Latency = {
  ...{ median: 4, p90: 5, clock: "cpu", runtime: "node", threads: 1, batch: 1, n: 100 },
};

test.each([
  [[0.98, 1.02], true],
  [[1, 1], true],
  [[1, 1.1], true],
  [[0.9, 1], true],
  [[1.001, 1.1], false],
  [[0.9, 0.999], false],
  [null, false], // too few rounds to say
] as const)("%j contains 1: %s", (ci95, same) => {
  expect(isSame(ci95)).toBe(same);
  const delta = { infer: 1.4, ci95: { ...untimed.ci95, infer: ci95 } };
  expect(knownSpeedup(delta)).toBe(same ? 1 : 1.4);
});

test("nothing known of what was not timed", () => expect(knownSpeedup(untimed)).toBeNull());

test("a row's times follow from the original's and the speed-up", () => {
  // Timed when the machine was half as fast: 8 -> 4 ms is 2 times; the original takes 3 ms now.
  const row = { latency, delta: { ...untimed, infer: 2 } };
  const moved = onBasis(row, { ...latency, median: 3 });
  expect(moved.latency).toEqual({ ...latency, median: 1.5, p90: 1.5 * (5 / 4) });
  expect(onBasis({ ...row, latency: { ...latency, p90: null } }, latency).latency!.p90).toBeNull();
  expect(onBasis({ ...row, latency: null }, latency).latency).toBeNull();
  expect(onBasis({ ...row, delta: untimed }, latency).latency).toEqual(latency);
});

test("rows of an earlier run stay: the original's time follows from theirs", () => {
  // 1.5 ms at twice the original's speed: the original took 3 ms, whatever it takes now.
  const row = { latency: { ...latency, median: 1.5 }, delta: { ...untimed, infer: 2 } };
  const now: Latency = { ...latency, clock: "wall", median: 8, p90: 12, n: 7 };
  const basis = basisOf([{ latency: null, delta: untimed }, row], now);
  expect(basis).toEqual({ ...now, clock: "cpu", median: 3, p90: 4.5 });
  expect(onBasis(row, basis).latency!.median).toBe(1.5);
  expect(basisOf([], now)).toBe(now);
  expect(basisOf([row], null)).toBeNull();
});
