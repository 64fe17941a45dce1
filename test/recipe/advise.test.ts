/** @file Advice follows from facts, differs by model, and gives way to what was measured. */
import { describe, expect, test } from "vitest";
import type { Result } from "../../src/measure/measurement.ts";
import { makeNet } from "../../src/nets/index.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { adviceFor, checkedAdvice, type Wish } from "../../src/recipe/advice.ts";
import { advise } from "../../src/recipe/advise.ts";
import { type Facts, factsOf } from "../../src/recipe/facts.ts";
import { loadModel } from "../../src/recipe/load.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import { adviceJson, adviceText } from "../../src/report/advice.ts";
import { environmentOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { nets } from "../support/nets.ts";
import { quickPlatform } from "../support/quick-platform.ts";

const netOf = (name: string) => nets.find((net) => net.name === name)!;
const env = (name = "gemms") =>
  environmentOf(netOf(name), { platform: quickPlatform(), timingMs: 1 });
const wish: Wish = { goal: "size", trains: false, symmetric: false };

describe("facts", () => {
  test("of LeNet-5: where its weights and its arithmetic are", () => {
    const model = makeNet("lenet-5", 1);
    inferModel(model);
    const feeds = { [model.graph.inputs[0].name]: { shape: [1, 1, 28, 28] } } as never;
    const { kinds, zeros, blocks, isText } = factsOf(model, { ...env(), feeds });
    // 20x1x5x5 + 50x20x5x5 against 800x500 + 500x10 weights, biases apart; and their products.
    const conv = 500 + 20 + 25_000 + 50;
    const full = 400_000 + 500 + 5_000 + 10;
    expect(kinds.full.params).toBeCloseTo(full / (full + conv), 6);
    const macs = [500 * 24 * 24, 25_000 * 8 * 8, 400_000, 5_000];
    const all = macs.reduce((a, b) => a + b);
    expect(kinds.conv).toMatchObject({ layers: 2 });
    expect(kinds.conv.macs).toBeCloseTo((macs[0] + macs[1]) / all, 6);
    expect([blocks, isText, kinds.embedding.layers]).toEqual([0, false, 0]);
    expect(zeros).toBe(0);
  });
});

describe("advice", () => {
  const base = factsOf(netOf("gemms").model, env());
  const none = { layers: 0, params: 0, macs: 0 };
  const only = (kind: keyof Facts["kinds"], share = 1): Facts["kinds"] => ({
    ...{
      full: none,
      conv: none,
      pointwise: none,
      depthwise: none,
      recurrent: none,
      embedding: none,
    },
    [kind]: { layers: 3, params: share, macs: share },
  });
  const recipesFor = (facts: Partial<Facts>, given: Partial<Wish> = {}) =>
    adviceFor({ ...base, training: null, ...facts }, { ...wish, ...given }).map(
      ({ recipe }) => recipe,
    );

  test.each<[Partial<Facts>, Partial<Wish>, RegExp]>([
    [{ kinds: only("full") }, {}, /^prune-magnitude.*share-weights/],
    [{ kinds: only("conv") }, { goal: "speed" }, /^quantize-int8/],
    [{ kinds: only("embedding") }, {}, /^quantize-embeddings/],
    [{ kinds: only("full"), records: null }, { goal: "speed" }, /^quantize-dynamic/],
    [{ kinds: only("full"), isText: true, records: null }, {}, /^prune|^quantize-hqq/],
  ])("%#: the first is for what dominates", (facts, given, first) => {
    expect(recipesFor(facts, given)[0]).toMatch(first);
  });

  test("depends on what is allowed, wanted and known", () => {
    const conv = { kinds: only("conv") };
    expect(recipesFor(conv, { goal: "speed" })).toContain("factor-tucker:budget=0.7");
    expect(recipesFor(conv, { goal: "speed", trains: true })).toContain(
      "factor-tucker > train:loss=distil",
    );
    expect(recipesFor(conv, { symmetric: true }).join()).toMatch(/tie-filters/);
    expect(recipesFor(conv).join()).not.toMatch(/tie-filters|distil/);
    expect(recipesFor({ ...conv, training: 5000 }, { trains: true })).toContain("distil");
    expect(recipesFor({ ...conv, records: null })).toContain("quantize-weights:bits=8");
    const pointwise = only("pointwise");
    const mobile = { ...pointwise, depthwise: { layers: 13, params: 0.1, macs: 0.1 } };
    expect(recipesFor({ kinds: mobile }, { goal: "speed" }).join()).toMatch(/prune-channels/);
    for (const text of recipesFor(conv, { trains: true })) parseRecipe(text);
  });

  test("is overruled by figures, each with its reason; the best that is confirmed comes first", () => {
    const result = (alpha: number, drop: number, infer: number): Result =>
      ({
        alpha: { bytes: alpha },
        delta: { infer, ci95: { infer: null } },
        metric: { name: "accuracy", drop, flips: drop, baseline: 90 },
      }) as never;
    const advice = ["a", "b", "c", "d", "e"].map((recipe) => {
      return { recipe, because: "", source: "", weight: 1 };
    });
    const rows = new Map([
      ["a", result(2, 0.1, 1.5)],
      ["b", result(9, 40, 2)],
      ["c", result(4, 1, 0.8)],
      ["d", result(1, 0, 3)],
    ]);
    const checked = (goal: Wish["goal"]) =>
      checkedAdvice(advice, rows, new Map([["e", "needs data"]]), { ...wish, goal });
    const told = (goal: Wish["goal"]) =>
      Object.fromEntries(checked(goal).map(({ recipe, verdict }) => [recipe, verdict]));
    expect(checked("size").map(({ recipe }) => recipe)).toEqual(["c", "a", "e", "b", "d"]);
    expect(told("size")).toEqual({
      a: "confirmed: 2x smaller, 1.5x as fast, 0.1 points lost",
      b: "overruled: here it costs 40 points",
      c: "confirmed: 4x smaller, 0.8x as fast, 1 points lost",
      d: "overruled: here the file does not become smaller",
      e: "not measured: needs data",
    });
    expect(
      checked("speed")
        .map(({ recipe }) => recipe)
        .slice(0, 2),
    ).toEqual(["d", "a"]);
    expect(told("speed").c).toBe("overruled: here it is not faster (0.8x)");
    expect(told("accuracy").c).toBe("overruled: here it costs 1 points");
  });
});

test("the recipes for which most speaks are measured, and printed with their reasons", async () => {
  const loaded = await loadModel(concat(writeModel(netOf("gemms").model)), nodePlatform);
  const own = { ...env(), data: tensorDataset(netOf("gemms").feeds(16, 7)), training: null };
  const { facts, advice, trials } = await advise(loaded, own, { wish, measured: 2 });
  expect(trials.results).toHaveLength(3);
  expect(advice.filter(({ result }) => result)).toHaveLength(2);
  const text = adviceText(facts, advice);
  expect(text).toMatch(/fully connected +\d+ layers +\d+ % of the weights/);
  for (const { recipe, source } of advice) expect(text).toMatch(recipe && source.slice(0, 12));
  const json = adviceJson({ inputs: [], outputs: [] } as never, facts, advice);
  expect(json).toMatchObject({ command: "advise", facts: { ...facts, target: facts.target.id } });
});
