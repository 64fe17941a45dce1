/**
 * @file Rows of scores against scipy 1.17.1: sp.log_softmax(p), sp.rel_entr(softmax(p), softmax(q)).sum(1).
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { divergence, isDistribution, logProbabilities } from "../../src/measure/scores.ts";
import { argmax } from "../../src/numeric/argmax.ts";

const p = [
  [2, -1, 0.5, 0],
  [0.1, 0.2, -3, 1],
  [5, 5, 5, -5],
];
const q = [
  [1.5, -1, 0.75, 0.1],
  [0.3, 0.2, -2, 0.5],
  [5, 4, 5.5, -4],
];

test("log softmax", () => {
  const expected = [-0.342349582389822, -3.342349582389822, -1.842349582389822, -2.342349582389822];
  [...logProbabilities(p[0], false)].forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i], 14);
  });
});

test("KL divergence of two rows of logits, of their probabilities, and of shifted logits", () => {
  const expected = [0.05184804806902947, 0.05682855820696556, 0.17219310426377393];
  p.forEach((row, i) => {
    const logP = logProbabilities(row, false);
    const logQ = logProbabilities(q[i], false);
    expect(divergence(logP, logQ)).toBeCloseTo(expected[i], 14);
    const [P, Q] = [logP, logQ].map((log) => log.map(Math.exp));
    expect(isDistribution(P)).toBe(true);
    const again = divergence(logProbabilities(P, true), logProbabilities(Q, true));
    expect(again).toBeCloseTo(expected[i], 12);
    const shifted = logProbabilities(
      row.map((x) => x + 1000),
      false,
    );
    expect(divergence(shifted, logQ)).toBeCloseTo(expected[i], 10);
  });
});

test("a probability quantized to zero costs much, not everything; masked logits cost nothing", () => {
  const zero = divergence(logProbabilities([0.5, 0.5], true), logProbabilities([1, 0], true));
  // 0.5 ln(0.5 / 1) + 0.5 ln(0.5 / 1e-12)
  expect(zero).toBeCloseTo(0.5 * Math.log(0.5) + 0.5 * Math.log(0.5e12), 9);
  const masked = [1, -Infinity, 2];
  expect(divergence(logProbabilities(masked, false), logProbabilities(masked, false))).toBe(0);
});

describe("isDistribution", () => {
  test.each([
    [[0.25, 0.75], true],
    [[0.5, 0.4995], true], // float16 rounding
    [[0.5, 0.4], false],
    [[1.1, -0.1], false],
    [[2, 3], false],
    [[Number.NaN, 1], false],
  ])("%o: %s", (row, expected) => {
    expect(isDistribution(row)).toBe(expected);
  });
});

test.each([
  [[1, 3, 2], 1],
  [[3, 3, 2], 0],
  [[-Infinity, -5, -Infinity], 1],
  [[1, Number.NaN, 2], -1],
  [[1, Infinity, 2], -1],
])("argmax %o is %d", (row, expected) => {
  expect(argmax(row)).toBe(expected);
});

test("the divergence is never negative, and zero from a row to itself", () => {
  const row = fc.array(fc.double({ min: -50, max: 50, noNaN: true }), {
    minLength: 5,
    maxLength: 5,
  });
  fc.assert(
    fc.property(row, row, (a, b) => {
      const logA = logProbabilities(a, false);
      expect(divergence(logA, logProbabilities(b, false))).toBeGreaterThanOrEqual(0);
      expect(divergence(logA, logProbabilities(a, false))).toBe(0);
    }),
  );
});
