/** @file Exponentials against those of the engine, which may differ in the last bits. */
import { expect, test } from "vitest";
import { exp, power, sigmoid } from "../../src/numeric/exp.ts";
import { createRandom } from "../../src/numeric/random.ts";

test("agree with Math.exp and ** to 1e-14 over their whole range", () => {
  const random = createRandom(1);
  for (let i = 0; i < 2000; i++) {
    const x = 1400 * (random.float() - 0.5);
    expect(Math.abs(exp(x) / Math.exp(x) - 1)).toBeLessThan(1e-14);
    const [base, p] = [10 * random.float(), 8 * (random.float() - 0.5)];
    expect(Math.abs(power(base, p) / base ** p - 1)).toBeLessThan(1e-13);
  }
  expect([exp(0), exp(1e4), exp(-1e4), exp(Number.NaN)]).toEqual([1, Infinity, 0, Number.NaN]);
  expect(exp(-744)).toBe(Math.exp(-744));
  expect([power(0, 2), power(0, 0), sigmoid(0), sigmoid(-800)]).toEqual([0, 1, 0.5, 0]);
});
