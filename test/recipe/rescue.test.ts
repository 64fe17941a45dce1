/** @file Rescue: layers that a step must leave alone are found, and no others. */
import { describe, expect, test } from "vitest";
import { parseModel } from "../../src/ir/parse.ts";
import { tensor } from "../../src/ir/tensor.ts";
import type { Metric } from "../../src/measure/measurement.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { readModel } from "../../src/onnx/read.ts";
import { applyRecipe } from "../../src/recipe/apply.ts";
import type { Environment } from "../../src/recipe/environment.ts";

import { lossIn } from "../../src/recipe/rescue.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import { nodeCpu } from "../../src/targets/node-cpu.ts";
import { runtime } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { quickPlatform } from "../support/quick-platform.ts";
import { tinyModel } from "../support/tiny.ts";

const n = 16;
const count = 200;
const random = createRandom(3);
const numbers = (size: number, scale = 1) =>
  Float32Array.from({ length: size }, () => scale * random.normal());

/**
 * What a spectrogram front end does: energies over many decades, summed by a matrix, then their
 * logarithm. 8 bits of the energies hold only the largest; the layers behind bear them well.
 */
const bytes = tinyModel({
  inputs: [{ name: "x", dims: ["N", n] }],
  outputs: [{ name: "y", dims: ["N", 4] }],
  nodes: [
    { op: "Exp", inputs: ["x"], outputs: ["e"] },
    { op: "MatMul", name: "bank", inputs: ["e", "M"], outputs: ["m"] },
    { op: "Log", inputs: ["m"], outputs: ["l"] },
    { op: "Gemm", name: "first", inputs: ["l", "A"], outputs: ["a"] },
    { op: "Relu", inputs: ["a"], outputs: ["ra"] },
    { op: "Gemm", name: "second", inputs: ["ra", "B"], outputs: ["b"] },
    { op: "Relu", inputs: ["b"], outputs: ["rb"] },
    { op: "Gemm", name: "last", inputs: ["rb", "C"], outputs: ["y"] },
  ],
  weights: [
    {
      name: "M",
      dims: [n, n],
      data: Float32Array.from({ length: n * n }, (_, i) => Number(i % (n + 1) === 0) + 1e-6),
    },
    { name: "A", dims: [n, n], data: numbers(n * n, 0.3) },
    { name: "B", dims: [n, n], data: numbers(n * n, 0.3) },
    { name: "C", dims: [n, 4], data: numbers(n * 4, 0.3) },
  ],
});
const model = readModel(bytes);
const records = Float32Array.from({ length: count * n }, () => 5 * random.normal());

async function environment(changes: Partial<Environment> = {}): Promise<Environment> {
  const x = tensor("float32", [count, n], records);
  const session = await runtime.open({ bytes: bytes }, { threads: 1 });
  const { y } = await session.run({ x });
  await session.close();
  const scores = y.floats();
  const labels = Array.from({ length: count }, (_, r) => {
    const row = scores.subarray(4 * r, 4 * r + 4);
    return row.indexOf(Math.max(...row));
  });
  const data = tensorDataset({ x }, tensor("int64", [count], labels));
  return {
    platform: quickPlatform(),
    ...{
      runtime,
      target: nodeCpu,
      threads: 1,
      seed: 1,
      signal: null,
      data: null,
      calibration: data,
      training: null,
    },
    ...{ teacher: null, trainThreads: 1, checkpoints: null, computeChoice: null, timingMs: 1 },
    feeds: (await data.read([0, 1])).inputs,
    onEvent() {},
    ...changes,
  };
}

const env = await environment();
const agreement = async (steps: string): Promise<number> => {
  const outcome = await applyRecipe(model, parseRecipe(steps), env, { anySize: true });
  const data = env.calibration!;
  const all = await data.read(Array.from({ length: count }, (_, i) => i));
  const session = await runtime.open({ bytes: outcome.bytes }, { threads: 1 });
  const { y } = await session.run(all.inputs);
  await session.close();
  const scores = y.floats();
  const labels = all.label!.numbers();
  let hits = 0;
  for (let r = 0; r < count; r++) {
    const row = scores.subarray(4 * r, 4 * r + 4);
    if (row.indexOf(Math.max(...row)) === Number(labels[r])) hits++;
  }
  return (100 * hits) / count;
};

describe("rescue", () => {
  test("leaves out the layer that collapses in 8 bits, and only that", async () => {
    expect(await agreement("quantize-int8:rescue=false")).toBeLessThan(85);
    expect(await agreement("quantize-int8:tolerance=3")).toBeGreaterThan(97);
    const { warnings, bytes: made } = await applyRecipe(
      model,
      parseRecipe("quantize-int8:tolerance=3"),
      env,
      { anySize: true },
    );
    expect(warnings.join()).toMatch(
      /costs \d+\.?\d* points on 200 .*; 1 of 4 layers do it .*: done as quantize-int8:except=bank,rescue=false,tolerance=3$/,
    );
    const same = await applyRecipe(
      model,
      parseRecipe("quantize-int8:except=bank,rescue=false"),
      env,
      { anySize: true },
    );
    expect(Buffer.compare(made, same.bytes)).toBe(0);
  });
});

test("a layer that is called as the operator of others is not left out with them unseen", async () => {
  const named = readModel(bytes);
  for (const node of named.graph.nodes) if (node.name === "bank") node.name = "Gemm";
  const steps = parseRecipe("quantize-int8:tolerance=3");
  const { warnings } = await applyRecipe(named, steps, env, { anySize: true });
  // The glob "Gemm" would leave out all four.
  expect(warnings.join()).toMatch(/leaving out up to half of its layers does not bring/);
});

test("channels that several layers share are tried together, then a smaller share of them", async () => {
  const recipe = "prune-channels:ratio=0.2,tolerance=6";
  const { warnings } = await applyRecipe(model, parseRecipe(recipe), env, { anySize: true });
  const done = "prune-channels:ratio=0.05,except=bank,rescue=false,tolerance=6";
  expect(warnings.at(-1)).toMatch(
    /costs 18.5 points on 200 .*; 1 of 3 layers do it .* leaves 5.5 points/,
  );
  expect(warnings.at(-1)).toContain(`done as ${done}`);
});

test("gentler settings that the step has already are not tried again", async () => {
  const [step] = parseRecipe("quantize-int8:calibrator=minmax,tolerance=3");
  const tried: string[] = [];
  const method: typeof step.method = {
    ...step.method,
    gentler: [{ calibrator: "minmax" }],
    async apply(start, options, context) {
      tried.push(JSON.stringify({ ...options, rescue: null }));
      return step.method.apply(start, options, context);
    },
  };
  await applyRecipe(model, [{ ...step, method }], env, { anySize: true });
  expect(tried.length).toBeGreaterThan(4);
  expect(new Set(tried).size).toBe(tried.length);
});

describe("no rescue", () => {
  const bytesOf = async (recipe: string) =>
    (await applyRecipe(model, parseRecipe(recipe), env, { anySize: true })).bytes;

  test("where the loss is within the tolerance, or nobody asks for it", async () => {
    const plain = await bytesOf("quantize-int8:rescue=false");
    expect(Buffer.compare(await bytesOf("quantize-int8:tolerance=100"), plain)).toBe(0);
    const blind = { ...env, calibration: null };
    const weights = parseRecipe("quantize-weights:bits=2");
    const off = parseRecipe("quantize-weights:bits=2,rescue=false");
    const made = await applyRecipe(model, weights, blind, { anySize: true });
    const same = await applyRecipe(model, off, blind, { anySize: true });
    expect(Buffer.compare(made.bytes, same.bytes)).toBe(0);
  });

  test("says so where half of the layers would not be enough", async () => {
    const { warnings } = await applyRecipe(
      model,
      parseRecipe("prune-channels:ratio=0.9,tolerance=0.1"),
      env,
      { anySize: true },
    );
    expect(warnings.join()).toMatch(/costs .* points on 200 .*, and leaving out up to half/);
  });
});

const metric: Metric = {
  ...{ name: "accuracy", value: 80, baseline: 90, drop: 10, ci95: null, dropCi95: [8, 12] },
  ...{ flips: 12, kl: 0.1, sqnr: 7, exact: false, n: 100 },
};

test("losses in the units of the metric", () => {
  expect(lossIn(metric, 2)).toMatchObject({ value: 10, limit: 2, isCertain: true });
  expect(lossIn({ ...metric, dropCi95: [-1, 21] }, 2)?.isCertain).toBe(false);
  const perplexity = { ...metric, name: "perplexity", value: 5, baseline: 4, drop: 1 };
  expect(lossIn(perplexity, 2)).toMatchObject({ value: 25, limit: 20 });
  const unlabelled = { ...metric, name: "fidelity", drop: null };
  expect(lossIn(unlabelled, 2)).toMatchObject({ value: 12, limit: 10 });
  const maps = { ...unlabelled, flips: null };
  expect(lossIn(maps, 2)).toMatchObject({ value: -7, limit: -10 });
  expect(lossIn({ ...maps, sqnr: null }, 2)).toBeNull();
});

describe("rescue of models that cannot be judged as usual", () => {
  const size = 24;
  const values = (count: number) => Array.from(numbers(count), (v) => v.toFixed(4)).join(", ");
  const eye = Array.from({ length: size * size }, (_, i) => Number(i % (size + 1) === 0)).join(
    ", ",
  );
  /** Records whose first number is positive take W, alone; in a batch, hardly ever all of them. */
  const branched = parseModel(`<ir_version: 10, opset_import: ["" : 21]>
g (float[N,${size}] x) => (float[N,${size}] y)
  <int64[1] from = {0}, int64[1] to = {1}, int64[1] axis = {1}, float zero = {0}>
{
  first = Slice (x, from, to, axis)
  least = ReduceMin <keepdims = 0> (first)
  positive = Greater (least, zero)
  y = If (positive) <then_branch = yes () => (float[N,${size}] a)
    <float[${size},${size}] W = {${values(size * size)}}>
  {
    [inner] a = MatMul (x, W)
  }, else_branch = no () => (float[N,${size}] b)
    <float[${size},${size}] I = {${eye}}>
  {
    b = MatMul (x, I)
  }>
}`);
  const x = tensor("float32", [64, size], numbers(64 * size));
  const recipe = parseRecipe("quantize-weights:bits=2,tolerance=0,only=inner");
  const warningsOf = async (changes: Partial<Environment>, start = branched) => {
    const own = await environment({ calibration: tensorDataset({ x }), feeds: { x }, ...changes });
    return (await applyRecipe(start, recipe, own, { anySize: true })).warnings.join();
  };

  test("a model that decides by its input is judged one record at a time", async () => {
    expect(await warningsOf({})).toMatch(/quantize-weights costs .* on 64 calibration records/);
  });

  const plain = readModel(
    tinyModel({
      inputs: [{ name: "x", dims: ["N", size] }],
      outputs: [{ name: "y", dims: ["N", size, 1] }],
      nodes: [
        { op: "MatMul", name: "inner", inputs: ["x", "W"], outputs: ["h"] },
        { op: "Unsqueeze", inputs: ["h", "axes"], outputs: ["y"] },
      ],
      weights: [
        { name: "W", dims: [size, size], data: numbers(size * size) },
        { name: "axes", dims: [1], dtype: "int64", data: BigInt64Array.of(2n) },
      ],
    }),
  );

  test("labels that do not fit the outputs are as good as none", async () => {
    const unlabelled = await warningsOf({}, plain);
    expect(unlabelled).toMatch(/quantize-weights costs/);
    const label = tensor("float32", [64, 3], numbers(64 * 3));
    expect(await warningsOf({ calibration: tensorDataset({ x }, label) }, plain)).toBe(unlabelled);
  });

  const whole = (op: string, dims: (number | string)[], ints: Record<string, number>) =>
    readModel(
      tinyModel({
        inputs: [{ name: "x", dims: ["N", size] }],
        outputs: [{ name: "y", dtype: "int64", dims }],
        nodes: [
          { op: "MatMul", name: "inner", inputs: ["x", "W"], outputs: ["h"] },
          { op, inputs: ["h"], outputs: ["y"], ints },
        ],
        weights: [{ name: "W", dims: [size, size], data: numbers(size * size) }],
      }),
    );

  test("outputs that nothing can judge are not rescued; classes without scores are", async () => {
    const many = whole("Cast", ["N", size], { to: 7 });
    expect(await warningsOf({}, many)).not.toMatch(/costs/);
    const classes = whole("ArgMax", ["N", 1], { axis: 1 });
    expect(await warningsOf({}, classes)).toMatch(/quantize-weights costs/);
  });
});
