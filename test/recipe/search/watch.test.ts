/** @file What is asked of the workers that screen, and that nothing is screened or timed twice. */
import { expect, test } from "vitest";
import { aimOf, parseGoal } from "../../../src/recipe/search/aim.ts";
import type { Screened } from "../../../src/recipe/search/candidate.ts";
import type { ScreenPlan } from "../../../src/recipe/search/screen.ts";
import { createWatch } from "../../../src/recipe/search/watch.ts";
import { parseRecipe } from "../../../src/recipe/steps.ts";
import { parseTargets } from "../../../src/recipe/target.ts";
import { lenet } from "../../report/fixture.ts";

const steps = parseRecipe("share-weights:bits=4");
const [original] = lenet().results;

/** A watch whose runner sees 5000 bytes in everything; `log` has what it was asked for. */
function watchOf(target: string, goal: string | null, mostSeconds = Infinity) {
  const log: (ScreenPlan | "alone")[] = [];
  const kept = new Map<string, Screened>();
  const ground = {
    baseline: { result: original, original: null },
    runner: {
      async screen(_: unknown, plan: ScreenPlan) {
        log.push(plan);
        const sizes = { raw: 5000, gzip: null, brotli: null, packed: null };
        return {
          sizes,
          metric: null,
          warnings: [],
          bytes: plan.keepsProduct ? new Uint8Array(9) : null,
        };
      },
      alone(work: () => Promise<unknown>) {
        log.push("alone");
        return work();
      },
    },
  };
  const memory = {
    recall: (key: string) => kept.get(key) ?? null,
    keep: (key: string, found: Screened) => void kept.set(key, found),
    begin: () => () => 3,
  };
  const aim = aimOf(target ? parseTargets(target) : [], goal === null ? null : parseGoal(goal));
  const watch = createWatch(ground as never, {} as never, { aim, mostSeconds }, memory as never);
  return { watch, log, kept };
}

test("a recipe is screened once, on more records for the whole model than for a layer", async () => {
  const { watch, log, kept } = watchOf("size<=5kB", null, 20);
  const found = await watch.judged(steps);
  expect(await watch.judged(steps)).toBe(found);
  expect(found).toMatchObject({ recipe: "share-weights:bits=4", seconds: 3, isSlow: false });
  expect(found.row).toMatchObject({ bytes: { raw: 5000 }, latency: original.latency });
  await watch.few(steps);
  const common = { isCoded: false, keepsProduct: false, mostSeconds: 20 };
  expect(log).toEqual([
    { records: 256, calibrating: null, ...common },
    { records: 16, calibrating: 64, ...common },
  ]);
  expect([...kept.keys()]).toEqual(["256 share-weights:bits=4", "16 share-weights:bits=4"]);
});

test.each([
  ["speedup>=2", null, { keepsProduct: true, isCoded: false }],
  ["drop<=1", "latency", { keepsProduct: true, isCoded: false }],
  ["packed<=1kB", null, { keepsProduct: false, isCoded: true }],
  ["", "brotli", { keepsProduct: false, isCoded: true }],
])(
  "what %j and the goal %j need is measured; times are taken alone",
  async (target, goal, needs) => {
    const { watch, log } = watchOf(target, goal);
    await watch.judged(steps);
    expect(log[0]).toMatchObject({ ...needs, mostSeconds: null });
    expect(log.slice(1)).toEqual(needs.keepsProduct ? ["alone"] : []);
    // A layer alone is never timed.
    await watch.few(steps);
    expect(log.at(-1)).toMatchObject({ keepsProduct: false, isCoded: false });
  },
);
