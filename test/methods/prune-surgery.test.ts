/** @file The masks of dynamic network surgery, step by step, on weights worked by hand. */
import { expect, test } from "vitest";
import { layerModel } from "../support/layer.ts";
import { hooksOf } from "../support/training-hooks.ts";

/** |w| = 0.01, 0.02, ..., 1. */
const weights = Array.from({ length: 100 }, (_, i) => ((i + 1) / 100) * (i % 2 ? -1 : 1));
const model = layerModel(["N", 100], (g, x) =>
  g.MatMul(x, g.constant(weights, { shape: [100, 1] })),
);

/** How many of the smallest weights are masked after update `at` of 100; all masks were `before`. */
async function maskedAfter(at: number, before: 0 | 1): Promise<number> {
  const options = { sparsity: 0.5, margin: 0.3, every: 10 };
  const { hooks, step, parameters, theta } = await hooksOf(model, "prune-surgery", options);
  const masks = theta("gone").fill(before);
  hooks.begin?.(100);
  hooks.afterUpdate?.({ step: at - 1, parameters } as never, step);
  const count = masks.filter((gone) => gone === 1).length;
  expect([...masks]).toEqual(weights.map((_, i) => Number(i < count)));
  return count;
}

test("masks stay as they are within the margin of the threshold", async () => {
  // From half of the steps on 50 weights lie below the threshold 0.51: masked is what lies below
  // 0.7 of it, 0.357, and restored what lies above 1.3 of it, 0.663.
  expect(await maskedAfter(50, 0)).toBe(35);
  expect(await maskedAfter(50, 1)).toBe(66);
});

test("the share of zeros grows as 1 - (1 - t)^3 over the first half of the steps", async () => {
  // 0.5 (1 - 0.8^3) = 0.244: the threshold is 0.25, and 0.7 of it 0.175.
  expect(await maskedAfter(10, 0)).toBe(17);
  // 0.5 (1 - 0.4^3) = 0.468: the threshold is 0.48, and 0.7 of it 0.336.
  expect(await maskedAfter(30, 0)).toBe(33);
});

test("the last time, at three quarters of the steps, the share is exact", async () => {
  expect(await maskedAfter(75, 0)).toBe(50);
  expect(await maskedAfter(75, 1)).toBe(50);
});

test("between the updates of the masks, and after the last one, they rest", async () => {
  for (const at of [51, 76, 80, 100]) expect(await maskedAfter(at, 0)).toBe(0);
});
