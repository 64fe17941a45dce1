/** @file Caches of 8 and 4 bits: their rounding by plain arithmetic, word by word; what is refused. */
import { describe, expect, test } from "vitest";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { createModel, type Model } from "../../src/ir/model.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { measureMetric } from "../../src/measure/metric.ts";
import { fidelity } from "../../src/measure/metrics/fidelity.ts";
import { transformers } from "../../src/nets/transformers/index.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { OPSET } from "../../src/onnx/upgrade.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { build } from "../../src/ops/builder.ts";
import { applyRecipe } from "../../src/recipe/apply.ts";
import type { Environment } from "../../src/recipe/environment.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import type { Feeds } from "../../src/runtime/runtime.ts";
import { environmentOf, runtime } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { nets } from "../support/nets.ts";

const [HEADS, SIZE, STEPS] = [2, 8, 5];
const WIDTH = HEADS * SIZE;
const random = createRandom(3);

/** Numbers [1, positions, heads * size] whose channels differ by powers of 1.4, in each head otherwise. */
const drawn = (positions: number): number[] =>
  Array.from(
    { length: positions * WIDTH },
    (_, i) => random.normal() * 1.4 ** (((i % WIDTH) * 5) % WIDTH) * 0.02,
  );
const row = (x: readonly number[], at: number): number[] => x.slice(at * WIDTH, (at + 1) * WIDTH);

/** One attention over q, k and v themselves, in standard operators or as one kernel. */
function attention(kind: "standard" | "kernel"): Model {
  const graph = new Graph("attention");
  const g = build(graph, "attention");
  const sizes = ["N", "T", WIDTH];
  const [q, k, v] = ["q", "k", "v"].map((name) => graph.addInput(name, "float32", sizes));
  const pasts = ["past.key", "past.value"].map((name) =>
    graph.addInput(name, "float32", ["N", HEADS, "P", SIZE]),
  );
  const named = (value: Value, name: string): Value => Object.assign(value, { name });
  if (kind === "kernel") {
    const lengths = graph.addInput("lengths", "int32", ["N"]);
    const total = graph.addInput("total", "int32", []);
    const [y, keys, values] = g.many("GroupQueryAttention", [q, k, v, ...pasts, lengths, total], {
      outputs: 3,
      domain: "com.microsoft",
      attributes: { num_heads: HEADS, kv_num_heads: HEADS },
    });
    for (const value of [y, keys, values]) value.dtype = "float32";
    y.shape = sizes;
    keys.shape = values.shape = ["N", HEADS, "all", SIZE];
    graph.setOutputs([named(y, "y"), named(keys, "present.key"), named(values, "present.value")]);
  } else {
    const split = (x: Value): Value =>
      g.Transpose(g.Reshape(x, g.ints([0, 0, HEADS, SIZE])), { perm: [0, 2, 1, 3] });
    const [keys, values] = [k, v].map((x, i) => g.Concat(pasts[i], split(x), { axis: -2 }));
    const scores = g.MatMul(split(q), g.Transpose(keys, { perm: [0, 1, 3, 2] }));
    const mixed = g.MatMul(
      g.Softmax(g.Mul(scores, g.constant(SIZE ** -0.5)), { axis: -1 }),
      values,
    );
    const y = g.Reshape(g.Transpose(mixed, { perm: [0, 2, 1, 3] }), g.ints([0, 0, WIDTH]));
    graph.setOutputs([named(y, "y"), named(keys, "present.key"), named(values, "present.value")]);
  }
  const model = createModel(graph, OPSET);
  model.domains.set("com.microsoft", 1);
  return model;
}

const floats = (shape: number[], values: readonly number[]): Tensor =>
  tensor("float32", shape, values);
const extras = (kind: string, past: number): Feeds =>
  kind === "kernel"
    ? { lengths: tensor("int32", [1], [past]), total: tensor("int32", [], [past + 1]) }
    : {};
const environment = (calibration: Feeds, feeds: Feeds): Environment => {
  const { lengths, total, ...records } = calibration;
  const dataset = tensorDataset(records);
  const read: typeof dataset.read = async (indices) => {
    const batch = await dataset.read(indices);
    return { ...batch, inputs: { ...batch.inputs, ...(lengths && { lengths, total }) } };
  };
  return environmentOf(nets[0], { calibration: { ...dataset, read }, feeds });
};

/** The largest magnitude of each channel [heads * size], or of all. */
function largest(x: readonly number[], by: "channel" | "tensor"): number[] {
  const sizes = new Array<number>(WIDTH).fill(0);
  for (const [i, value] of x.entries())
    sizes[i % WIDTH] = Math.max(sizes[i % WIDTH], Math.abs(value));
  return by === "channel" ? sizes : sizes.fill(Math.max(...sizes));
}

/** Ties do not occur with drawn numbers. */
const level = (x: number, scale: number, most: number): number =>
  Math.max(-most - 1, Math.min(most, Math.round(Math.fround(x) / scale))) + 0;

describe.each([
  ["standard", 8, "channel"],
  ["standard", 8, "tensor"],
  ["kernel", 8, "channel"],
  ["kernel", 8, "tensor"],
  ["kernel", 4, "channel"],
] as const)("%s operators, %i bits, a scale by %s", (kind, bits, by) => {
  test("keep round(k / s), word by word, and attend to s round(k / s)", async () => {
    const [q, k, v] = [drawn(STEPS), drawn(STEPS), drawn(STEPS)];
    const known = { k: drawn(1), v: drawn(1) };
    const shape = [1, 1, WIDTH];
    const empty = floats([1, HEADS, 0, SIZE], []);
    const none = { "past.key": empty, "past.value": empty, ...extras(kind, 0) };
    const calibration = {
      q: floats(shape, row(q, 0)),
      k: floats(shape, known.k),
      v: floats(shape, known.v),
    };
    const env = environment({ ...calibration, ...none }, { ...calibration, ...none });
    const steps = parseRecipe(`quantize-cache:bits=${bits},keys=${by},values=${by}`);
    const { model, kept, warnings } = await applyRecipe(attention(kind), steps, env);
    expect([kept, warnings]).toEqual([[true], []]);

    const most = 2 ** (bits - 1) - 1;
    const scalesOf = (x: number[]) =>
      largest(x, by).map((size) => Math.fround(Math.fround(size) / most));
    const scales = { k: scalesOf(known.k), v: scalesOf(known.v) };
    const session = await runtime.open({ bytes: concat(writeModel(model)) });
    let caches: Record<string, Tensor> = { "past.key": empty, "past.value": empty };
    for (let t = 0; t < STEPS; t++) {
      const now = {
        q: floats(shape, row(q, t)),
        k: floats(shape, row(k, t)),
        v: floats(shape, row(v, t)),
      };
      const { y, ...present } = await session.run({ ...now, ...caches, ...extras(kind, t) });
      caches = Object.fromEntries(
        Object.entries(present).map(([name, value]) => [name.replace("present", "past"), value]),
      );
      const expected = new Array<number>(WIDTH).fill(0);
      for (let head = 0; head < HEADS; head++) {
        const at = (i: number, c: number) => i * WIDTH + head * SIZE + c;
        const levels = (x: number[], s: number[], i: number, c: number) =>
          level(x[at(i, c)], s[head * SIZE + c], most);
        const weights = Array.from({ length: t + 1 }, (_, i) => {
          let sum = 0;
          for (let c = 0; c < SIZE; c++) {
            sum += q[at(t, c)] * scales.k[head * SIZE + c] * levels(k, scales.k, i, c);
          }
          return Math.exp(sum / Math.sqrt(SIZE));
        });
        const total = weights.reduce((a, b) => a + b);
        for (let c = 0; c < SIZE; c++) {
          for (let i = 0; i <= t; i++) {
            const value = scales.v[head * SIZE + c] * levels(v, scales.v, i, c);
            expected[head * SIZE + c] += (weights[i] / total) * value;
          }
          if (bits === 4) continue;
          const place = (head * (t + 1) + t) * SIZE + c;
          expect(present["present.key"].numbers()[place]).toBe(levels(k, scales.k, t, c));
          expect(present["present.value"].numbers()[place]).toBe(levels(v, scales.v, t, c));
        }
      }
      const peak = Math.max(...expected.map(Math.abs));
      for (const [i, value] of y.floats().entries()) {
        expect(Math.abs(value - expected[i])).toBeLessThan(1e-5 * peak);
      }
    }
    await session.close();
  });
});

describe("a decoder", () => {
  const net = { width: 16, layers: 2, heads: 4, inner: 24, words: 40, positions: 12, keyHeads: 2 };
  const decoder = transformers.decoder.make(createRandom(1), net).model;
  const ids = [2, 7, 30, 11, 5, 19];
  const feed = (words: readonly number[], past: number, cache: Feeds): Feeds => ({
    input_ids: tensor("int64", [1, words.length], words),
    attention_mask: tensor(
      "int64",
      [1, past + words.length],
      new Array(past + words.length).fill(1),
    ),
    position_ids: tensor(
      "int64",
      [1, words.length],
      words.map((_, i) => past + i),
    ),
    ...cache,
  });
  const cacheOf = (past: number): Feeds =>
    Object.fromEntries(
      [0, 1].flatMap((layer) =>
        ["key", "value"].map((part) => [
          `past_key_values.${layer}.${part}`,
          floats([1, 2, past, 4], new Array(8 * past).fill(0.1)),
        ]),
      ),
    );
  const whole = feed(ids, 0, cacheOf(0));
  const env = environmentOf(nets[0], { calibration: tensorDataset(whole), feeds: whole });
  const steps = parseRecipe("quantize-cache");

  test("scores the same with its int8 cache as without, and nearly as in float", async () => {
    const notes: string[] = [];
    const { model } = await applyRecipe(decoder, steps, {
      ...env,
      onEvent: (event) => event.type === "note" && notes.push(event.text),
    });
    expect(notes).toEqual(["quantize-cache: the cache takes 32 bytes per token instead of 128"]);
    const product = await runtime.open({ bytes: concat(writeModel(model)) });
    const original = await runtime.open({ bytes: concat(writeModel(decoder)) });
    const [all, exact] = [await product.run(whole), await original.run(whole)];
    let cache = cacheOf(0);
    for (const [t, id] of ids.entries()) {
      const { logits, ...present } = await product.run(feed([id], t, cache));
      cache = Object.fromEntries(
        Object.entries(present).map(([name, x]) => [name.replace("present", "past_key_values"), x]),
      );
      for (const [i, score] of logits.floats().entries()) {
        expect(Math.abs(score - all.logits.floats()[t * 40 + i])).toBeLessThan(1e-5);
      }
    }
    const pairs = [...exact.logits.floats()].map((x, i) => [x, all.logits.floats()[i]]);
    const noise = pairs.reduce((sum, [x, y]) => sum + (x - y) ** 2, 0);
    const signal = pairs.reduce((sum, [x]) => sum + x ** 2, 0);
    expect(10 * Math.log10(signal / noise)).toBeGreaterThan(35);
    expect(noise).toBeGreaterThan(0);
    await product.close();
    await original.close();
  });

  test("is judged by its scores: levels are no numbers of the original's cache", async () => {
    const { model } = await applyRecipe(decoder, steps, env);
    const dataset = tensorDataset(whole);
    const judged = async (of: Model, options: object) => {
      const session = await runtime.open({ bytes: concat(writeModel(of)) });
      const found = await measureMetric({ session, dataset, metric: fidelity, ...options });
      await session.close();
      return found;
    };
    const { reference } = await judged(decoder, { keepBytes: 2 ** 20 });
    const { metric, warnings } = await judged(model, { reference });
    expect(metric?.sqnr).toBeGreaterThan(35);
    expect(warnings).toEqual([]);
  });

  test("with records that hold a cache of floats stays as it is, with the reason", async () => {
    const feeds = feed(ids.slice(3), 3, cacheOf(3));
    const { kept, warnings } = await applyRecipe(decoder, steps, { ...env, feeds });
    expect(kept).toEqual([false]);
    expect(warnings[0]).toBe(
      'quantize-cache was rolled back: input "past_key_values.0.key" is int8, the tensor is float32',
    );
  });

  test("tells keys from values by the names of inputs", async () => {
    const { model } = await applyRecipe(decoder, parseRecipe("quantize-cache:values=tensor"), env);
    const pasts = model.graph.inputs.filter(({ dtype }) => dtype === "int8");
    const sizes = pasts.map((past) => {
      const joined = past.consumers.find(({ op }) => op === "Concat");
      const { inputs } = joined?.inputs[1]?.producer?.inputs[0]?.producer ?? {};
      return [past.name.slice(-5), inputs?.[1]?.shape];
    });
    const each = [
      ["0.key", [1, 2, 1, 4]],
      ["value", []],
      ["1.key", [1, 2, 1, 4]],
      ["value", []],
    ];
    expect(sizes).toEqual(each);
  });

  test("keeps 4 bits for the kernel, and a second step finds nothing to do", async () => {
    const four = await applyRecipe(decoder, parseRecipe("quantize-cache:bits=4"), env);
    expect(four.skipped[0]).toMatchObject({
      reason: "standard operators join caches of 8 bits only",
    });
    const twice = await applyRecipe(decoder, parseRecipe("quantize-cache > quantize-cache"), env);
    expect(twice.kept).toEqual([true, true]);
    expect(twice.skipped[0]).toMatchObject({ reason: "its cache is int8 already" });
  });
});
