/** @file A search finds what a table of layers promises, and takes the same course when resumed. */
import { describe, expect, test } from "vitest";
import { cloneModel } from "../../../src/ir/model.ts";
import { rawTensor } from "../../../src/ir/tensor.ts";
import type { Metric } from "../../../src/measure/measurement.ts";
import { nodePlatform } from "../../../src/node/platform.ts";
import { concat, writeModel } from "../../../src/onnx/write.ts";
import { weightsOf } from "../../../src/ops/weights.ts";
import { assessBaseline } from "../../../src/recipe/assess.ts";
import type { Environment } from "../../../src/recipe/environment.ts";
import { type Choice, layersOf, passing } from "../../../src/recipe/layer-choice.ts";
import { loadModel } from "../../../src/recipe/load.ts";
import { localRunner, type Runner } from "../../../src/recipe/runner.ts";
import { aimOf } from "../../../src/recipe/search/aim.ts";
import { byLayer, largeLayers, layerTable } from "../../../src/recipe/search/by-layer.ts";
import type { Screened } from "../../../src/recipe/search/candidate.ts";
import { proposals } from "../../../src/recipe/search/propose.ts";
import { search } from "../../../src/recipe/search/search.ts";
import { formatRecipe, parseRecipe, type Step } from "../../../src/recipe/steps.ts";
import { parseTargets } from "../../../src/recipe/target.ts";
import { simplify } from "../../../src/recipe/trial.ts";
import { createTurns } from "../../../src/util/turns.ts";
import { lenet } from "../../report/fixture.ts";
import { environmentOf } from "../../support/apply.ts";
import { tensorDataset } from "../../support/dataset.ts";
import { nets } from "../../support/nets.ts";
import { quickPlatform } from "../../support/quick-platform.ts";

const net = nets.find(({ name }) => name === "gemms")!;
const loaded = await loadModel(concat(writeModel(net.model)), nodePlatform);
const env = () =>
  environmentOf(net, {
    platform: quickPlatform(),
    timingMs: 1,
    data: tensorDataset(net.feeds(16, 7)),
    training: null,
  });

describe("the table of layers", () => {
  const layers = largeLayers(net.model);
  const steps = parseRecipe("quantize-weights:bits=8").concat(
    parseRecipe("quantize-weights:bits=2"),
  );
  /** Eight bits save 100 bytes on each layer, two bits 200; their errors differ by layer. */
  const noise: Record<string, readonly [number, number]> = Object.fromEntries(
    layers.map(({ name }, i) => [name, [1e-4, 10 ** (i - 3)] as const]),
  );
  /** What the steps save is counted from the model that they are tried on. */
  const whole = writeModel(net.model).byteLength;
  const screen = async (own: readonly Step[]): Promise<Screened> => {
    const name = formatRecipe(own);
    const layer = layers.find((node) => name.includes(`only=${node.name}`))!.name;
    const few = name.includes("bits=2") ? 1 : 0;
    const sqnr = -10 * Math.log10(noise[layer][few]);
    const row = { bytes: { raw: whole - 100 * (1 + few) }, metric: { sqnr } };
    return { recipe: name, row: row as never, reason: null, seconds: 0 };
  };

  test("gives each layer what costs least in all, within the bytes", async () => {
    const table = await layerTable(net.model, steps, screen, {
      lanes: 3,
      goesOn: async () => true,
    });
    const n = layers.length;
    // All choices by brute force: float, 8 or 2 bits for each layer.
    for (const bytes of [whole, whole - 100 * n, whole - 150 * n, whole - 200 * n]) {
      let least = Infinity;
      for (let code = 0; code < 3 ** n; code++) {
        const ways = layers.map((_, i) => Math.floor(code / 3 ** i) % 3);
        const saved = ways.reduce((sum, way) => sum + 100 * way, 0);
        const lost = ways.reduce(
          (sum, way, i) => sum + (way === 0 ? 0 : noise[layers[i].name][way - 1]),
          0,
        );
        if (whole - saved <= bytes) least = Math.min(least, lost);
      }
      const made = byLayer(table, bytes);
      const taken = (made ?? []).flatMap(({ options }) =>
        (options.only as string[]).map((name) => noise[name][options.bits === 2 ? 1 : 0]),
      );
      expect(taken.reduce((a, b) => a + b, 0)).toBeCloseTo(least, 12);
    }
    expect(byLayer(table, whole - 200 * n - 1)).toBe(null);
  });
});

test("the table of layers counts from the simplified model, whatever the original had besides", async () => {
  const start = net.model;
  const whole = writeModel(start).byteLength;
  const layers = layersOf(start);
  const bytes = new Map(
    weightsOf(start).map(({ node, value }) => [node, value.tensor!.byteLength]),
  );
  /** Only quantize-weights does anything: each of its layers then takes its bits for 32. */
  const sizeOf = (steps: readonly Step[]): number | null => {
    if (!steps.every(({ id }) => id === "quantize-weights")) return null;
    const saved = steps.flatMap(({ options }) =>
      passing(layers, options as unknown as Choice).map(
        (node) => (bytes.get(node) ?? 0) * (1 - Number(options.bits) / 32),
      ),
    );
    return whole - saved.reduce((a, b) => a + b, 0);
  };
  const found: number[] = [];
  const screen: Runner["screen"] = async (steps, { records }) => {
    const raw = sizeOf(steps);
    if (raw === null) return { reason: "not of interest", isMistake: false };
    if (records === 256 && steps.some(({ options }) => (options.only as string[]).length > 0)) {
      found.push(raw);
    }
    const sqnr = Math.min(...steps.map(({ options }) => 6 * Number(options.bits)));
    const metric = { name: "accuracy", drop: 20 / sqnr, flips: 40 / sqnr, sqnr } as Metric;
    const sizes = { raw, gzip: null, brotli: null, packed: null };
    return { sizes, metric, warnings: [], bytes: null };
  };
  // The original: constants that simplifying takes away, as many bytes as all the others.
  const bulky = cloneModel(start);
  const bulk = rawTensor(
    "float32",
    [Math.round(whole / 4)],
    new Uint8Array(4 * Math.round(whole / 4)),
  );
  bulky.graph.add("Identity", [bulky.graph.addConstant("bulk", bulk)]);
  const original = { ...lenet().results[0], bytes: { raw: writeModel(bulky).byteLength } };
  const ground = {
    baseline: { result: original, loaded: { model: bulky }, original: null },
    ...{ start, runner: { lanes: 2, screen } },
  };
  const limit = 0.5 * whole;
  const targets = parseTargets(`size<=${Math.round(limit)}`);
  const plan = { aim: aimOf(targets), budgetSeconds: Infinity, strategy: "evolve" } as const;
  let given = 0;
  const memory = {
    ...{ recall: () => null, spent: () => 0, begin: () => () => 0, keep() {} },
    isFull: async () => given >= 5,
  };
  for await (const _ of proposals(ground as never, env(), plan, memory)) given++;
  expect(found.length).toBeGreaterThan(0);
  expect(Math.max(...found)).toBeLessThanOrEqual(1.05 * limit + 1);
  // They use the room that there is: the file of the fewest bytes would be far smaller.
  expect(Math.max(...found)).toBeGreaterThan(0.7 * limit);
});

test.each([
  ["size<=3kB, drop<=1", 2],
  ["", 7],
])("of the methods alone, those worth a trial under %j are measured: %d", async (target, count) => {
  const start = net.model;
  let seen = 0;
  let [trials, before] = [0, -1];
  // The first eight methods make a front: each half the bytes of the one before, and a point worse.
  // The last two both have less than a hundredth of the bytes, beyond which nothing counts.
  const screen: Runner["screen"] = async (_, { records }) => {
    if (records !== 256 && before < 0) before = trials;
    const n = records === 256 ? ++seen : 9;
    if (n > 8) return { reason: "did nothing", isMistake: false };
    const metric = { name: "perplexity", drop: n, flips: null, sqnr: 9 - n } as unknown as Metric;
    const sizes = { raw: 1e6 / 2 ** n, gzip: null, brotli: null, packed: null };
    return { sizes, metric, warnings: [], bytes: null };
  };
  const [row] = lenet().results;
  const original = { ...row, bytes: { ...row.bytes, raw: 1e6 } };
  const ground = {
    baseline: { result: original, loaded: { model: start }, original: null },
    ...{ start, runner: { lanes: 1, screen } },
  };
  const aim = aimOf(target ? parseTargets(target) : []);
  const memory = {
    ...{ recall: () => null, spent: () => 0, begin: () => () => 0, keep() {} },
    isFull: async () => before >= 0,
  };
  const plan = { aim, budgetSeconds: Infinity, strategy: "evolve" } as const;
  for await (const _ of proposals(ground as never, env(), plan, memory)) trials++;
  // The first recipe is the simplified model itself.
  expect((before < 0 ? trials : before) - 1).toBe(count);
});

/**
 * A runner of several lanes over that of this process. Of the works that wait the last is done first,
 * and one trial in three fails, which has to make room for another.
 */
async function lanesOf(lanes: number, own: Environment): Promise<Runner> {
  const baseline = await assessBaseline(loaded, own);
  const local = await localRunner(baseline, simplify(loaded.model), own);
  const inTurn = createTurns();
  const waiting: (() => Promise<void>)[] = [];
  let isBusy = false;
  const late = <T>(work: () => Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      waiting.push(() => work().then(resolve, reject));
      if (!isBusy) doAll();
    });
  const doAll = async (): Promise<void> => {
    isBusy = true;
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      await next();
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    isBusy = false;
  };
  return {
    lanes,
    run: (steps) =>
      late(async () =>
        formatRecipe(steps).length % 3 === 0
          ? { reason: "its process died", isMistake: false }
          : local.run(steps),
      ),
    screen: (steps, plan) => late(() => local.screen(steps, plan)),
    alone: (work) => inTurn(work),
    close: () => baseline.close(),
  };
}

describe("search", () => {
  const targets = parseTargets("size<=3kB");

  test("takes the same course whatever ends first, in one lane or in three", {
    timeout: 300_000,
  }, async () => {
    const courseOf = async (lanes: number) => {
      const own = env();
      const runner = await lanesOf(lanes, own);
      const keys: string[] = [];
      const begun: string[] = [];
      const found = await search(loaded, own, {
        ...{ targets, trials: 5, runner },
        onScreened: (key) => void keys.push(key),
        onTrial: (recipe) => void begun.push(recipe),
      });
      await runner.close();
      const rows = found.results.map(({ recipe, bytes, metric }) => [recipe, bytes.raw, metric]);
      const left = found.left.map(({ recipe }) => recipe);
      return { keys, course: { begun, rows, left, best: found.best.recipe } };
    };
    const [one, three] = [await courseOf(1), await courseOf(3)];
    expect(three.course).toEqual(one.course);
    expect(three.course.rows).toHaveLength(6);
    expect(three.course.left.length).toBeGreaterThan(0);
    // They ended in another order.
    expect(three.keys).not.toEqual(one.keys);
    expect(three.keys.toSorted()).toEqual(one.keys.toSorted());
  });

  test("takes the course of the run before, and repeats nothing that was measured", async () => {
    const keys: string[] = [];
    const screened = new Map<string, Screened>();
    const rowSeconds = new Map<string, number>();
    const whole = await search(loaded, env(), {
      ...{ targets, trials: 3, budgetSeconds: 3 },
      onSeconds: (recipe, seconds) => void rowSeconds.set(recipe, seconds),
      onScreened(key, found) {
        keys.push(key);
        screened.set(key, found);
      },
    });
    expect(whole.results.length).toBe(4);
    const recipes = whole.results.map(({ recipe }) => recipe);
    expect(new Set(recipes).size).toBe(recipes.length);
    const [, ...done] = whole.results;
    const again: string[] = [];
    // What a run that was killed in its third trial has left.
    const resumed = await search(loaded, env(), {
      ...{ targets, trials: 3, budgetSeconds: 3 },
      screened: new Map([...screened].slice(0, keys.length - 4)),
      done: done.slice(0, 2),
      rowSeconds: new Map([...rowSeconds].slice(0, 2)),
      onScreened: (key) => void again.push(key),
    });
    expect(resumed.results.map(({ recipe }) => recipe)).toEqual(recipes);
    expect(resumed.results.map(({ bytes }) => bytes.raw)).toEqual(
      whole.results.map(({ bytes }) => bytes.raw),
    );
    expect(again.every((key) => keys.indexOf(key) >= keys.length - 4)).toBe(true);
    expect(resumed.best.recipe).toBe(whole.best.recipe);
  });

  test("at random it measures what it draws; a recipe that ends the process is left out", async () => {
    const drawn = await search(loaded, env(), {
      ...{ targets, trials: 2, budgetSeconds: 30, strategy: "random" as const },
    });
    expect(drawn.screened).toBe(0);
    expect(drawn.results).toHaveLength(3);
    const [, , deadly] = drawn.results;
    const spared = await search(loaded, env(), {
      ...{ targets, trials: 2, budgetSeconds: 30, strategy: "random" as const },
      deadly: [deadly.recipe],
    });
    expect(spared.results.map(({ recipe }) => recipe)).not.toContain(deadly.recipe);
    expect(spared.left.find(({ recipe }) => recipe === deadly.recipe)?.reason).toMatch(/ended the/);
    expect(formatRecipe(parseRecipe(deadly.recipe))).toBe(deadly.recipe);
  });
});
