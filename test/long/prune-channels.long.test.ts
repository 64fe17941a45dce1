/** @file Every real model at 30 %: pruned and run, and a reason for each group of channels that stays. */
import { expect, test } from "vitest";
import { pruneReal } from "../methods/prune-real.ts";
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
