/** @file What makes the whole model faster: which changes are given up, and what is said of them. */
import { expect, test } from "vitest";
import type { Context } from "../../src/context.ts";
import type { Model } from "../../src/ir/model.ts";
import { type Change, keepFaster } from "../../src/layers/faster.ts";

const model = { name: "whole" } as unknown as Model;
const change = (names: string, saved: number): Change => ({ names: names.split(" "), saved });
// In another order than that of what they save.
const changes = [
  change("c", 2),
  change("a1 a2", 9),
  change("e", 0.5),
  change("b", 5),
  change("d", 1),
];

/** Runs with a clock that finds a model with so many changes faster by the interval `of` gives. */
async function kept(of: ((count: number) => readonly [number, number] | null) | null) {
  const tried: string[] = [];
  const skipped: Record<string, string> = {};
  const trials = new Map<Model, number>();
  const found = await keepFaster(
    model,
    changes,
    async (some) => {
      tried.push(some.flatMap(({ names }) => names).join(" "));
      const trial = { name: "trial" } as unknown as Model;
      trials.set(trial, some.length);
      return trial;
    },
    {
      target: { id: "here" } as Context["target"],
      skip: (name, reason) => {
        skipped[name] = reason;
      },
      ...(of && {
        async compare(before, after) {
          expect(before).toBe(model);
          const ci95 = of(trials.get(after) as number);
          return { value: ci95 ? (ci95[0] + ci95[1]) / 2 : 1.5, ci95 };
        },
      }),
    },
    "in gold",
  );
  return { names: found.flatMap(({ names }) => names).join(" "), tried, skipped };
}

test("all are kept where the interval of all lies above 1, or where nothing is timed", async () => {
  const all = "c a1 a2 e b d";
  expect(await kept(() => [1.01, 1.2])).toEqual({
    ...{ names: all, tried: ["a1 a2 b c d e"], skipped: {} },
  });
  expect(await kept(null)).toEqual({ names: all, tried: [], skipped: {} });
});

test("those that save least are given up, by halves", async () => {
  const { names, tried, skipped } = await kept((count) => (count > 2 ? [0.9, 1.3] : [1.02, 1.5]));
  expect(tried).toEqual(["a1 a2 b c d e", "a1 a2 b"]);
  expect(names).toBe("a1 a2 b");
  const reason = "stays: with 6 layers in gold the model runs at 1.10x (0.90 to 1.30) on here";
  expect(skipped).toEqual({ c: reason, d: reason, e: reason });
});

test("none is kept where the model is never faster for certain", async () => {
  const { names, tried, skipped } = await kept((count) => (count > 1 ? [0.8, 0.9] : [1, 1.4]));
  expect(tried).toEqual(["a1 a2 b c d e", "a1 a2 b", "a1 a2"]);
  expect(names).toBe("");
  expect(Object.keys(skipped)).toEqual(["a1", "a2", "b", "c", "d", "e"]);
  expect(new Set(Object.values(skipped))).toEqual(
    new Set(["stays: with 6 layers in gold the model runs at 0.85x (0.80 to 0.90) on here"]),
  );
});

test("a speed-up without an interval is none", async () => {
  const { names, skipped } = await kept(() => null);
  expect(names).toBe("");
  expect(skipped.b).toBe("stays: with 6 layers in gold the model runs at 1.50x on here");
});
