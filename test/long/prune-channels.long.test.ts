/** @file Every real model at 30 %: pruned and run, and a reason for each group of channels that stays. */
import { expect, test } from "vitest";
import { costModel } from "../../src/ops/cost.ts";
import { applyRecipe } from "../../src/recipe/apply.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import { pruneReal } from "../methods/prune-real.ts";
import { environmentOf } from "../support/apply.ts";
import { nets } from "../support/nets.ts";
import { realModels } from "../support/real-models.ts";

const there = realModels.filter(({ path }) => path);
let shrunk = 0;

test.each(there.map(({ name }) => name))("%s", async (wanted) => {
  const model = there.find(({ name }) => name === wanted);
  if (!model) throw new Error(`${wanted} is not there`);
  const { start, result, macs, size } = await pruneReal(model, { ratio: 0.3 });
  const names = new Set(
    [...start.graph.walk()].flatMap(({ nodes }) => [...nodes].map(({ name }) => name)),
  );
  for (const { node, reason } of result.skipped) {
    expect(names).toContain(node);
    expect(reason).toMatch(/^(keeps its \d+ (x \d+ )?channels|keeps \d+ input channels)/);
  }
  if (size < 0.97 && macs < 0.85) shrunk++;
  else expect(result.skipped.length).toBeGreaterThan(0);
});

// All 18, measured 2026-11.
test.skipIf(there.length < 18)("most of them shrink", () =>
  expect(shrunk).toBeGreaterThanOrEqual(17),
);

test("a budget of time is kept by the engine's own clock, node by node", async () => {
  const [net] = nets.filter(({ name }) => name === "conv");
  const told: string[] = [];
  const { runtime, ...around } = environmentOf(net);
  const profile: typeof runtime.profile = (...given) => {
    told.push("profile");
    return runtime.profile(...given);
  };
  const steps = parseRecipe("prune-channels:allocation=sensitivity,budget=latency<=0.8,round=1");
  const env = { ...around, runtime: { ...runtime, profile }, feeds: net.feeds(256) };
  const { kept, model, groups } = await applyRecipe(net.model, steps, env);
  expect(kept).toEqual([true]);
  expect(told).toEqual(["profile"]);
  expect(groups.some(({ before, after }) => after < before)).toBe(true);
  expect(costModel(model).params).toBeLessThan(costModel(net.model).params);
});
