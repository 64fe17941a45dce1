/** @file Works that overlap: how many at a time, in which order, and whose the time is. */
import { expect, test } from "vitest";
import { inLanes } from "../../src/util/lanes.ts";
import { sharedTime } from "../../src/util/shared-time.ts";

test("two lanes begin in order, and give results in order though the first ends last", async () => {
  const begun: number[] = [];
  let [working, most] = [0, 0];
  const found = await inLanes([30, 1, 1, 1], 2, async (ms) => {
    begun.push(ms);
    most = Math.max(most, ++working);
    await new Promise((resolve) => setTimeout(resolve, ms));
    working--;
    return ms + begun.length;
  });
  expect(begun).toEqual([30, 1, 1, 1]);
  expect(most).toBe(2);
  // The first ended when all four had begun.
  expect(found[0]).toBe(34);
  expect(await inLanes([], 3, async () => 1)).toEqual([]);
  await expect(inLanes([1, 2], 2, async () => Promise.reject(new Error("no")))).rejects.toThrow(
    "no",
  );
});

test("works that overlap share the time, so that their sum is what passed", () => {
  let now = 0;
  const begin = sharedTime(() => now);
  now = 1000;
  const first = begin();
  now = 3000;
  const second = begin();
  now = 7000;
  expect(first()).toBe(2 + 4 / 2);
  now = 8000;
  expect(second()).toBe(4 / 2 + 1);
  // Between works no time counts.
  now = 20_000;
  const third = begin();
  now = 20_500;
  expect(third()).toBe(0.5);
});
