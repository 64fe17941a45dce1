/** @file Sensitivity: figures of one layer alone, against arithmetic by hand and against compress. */
import { describe, expect, test } from "vitest";
import { tensor } from "../../src/ir/tensor.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { applyRecipe } from "../../src/recipe/apply.ts";
import type { Environment } from "../../src/recipe/environment.ts";
import { loadModel } from "../../src/recipe/load.ts";
import { type Sensitivity, sensitivity } from "../../src/recipe/sensitivity.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import { simplify } from "../../src/recipe/trial.ts";
import { sensitivityTable } from "../../src/report/sensitivity.ts";
import { nodeCpu } from "../../src/targets/node-cpu.ts";
import { runtime } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { quickPlatform } from "../support/quick-platform.ts";
import { tinyModel } from "../support/tiny.ts";

const n = 32;
const count = 48;
/** The first layer is called like its operator, which as a glob matches all three. */
const names = ["Gemm", "worse", "last"];

const random = createRandom(5);
const weights = names.map(() => Float32Array.from({ length: n * n }, () => random.float() - 0.5));
// One large weight in each column: the levels of 4 bits are then so coarse that few others stay.
for (let c = 0; c < n; c++) weights[1][((c * 7) % n) * n + c] = 6;
const records = Float32Array.from({ length: count * n }, () => random.float());

/** y = Relu(Relu(x A) B) C; a layer without the Relu in between would be merged with the next. */
const model = tinyModel({
  inputs: [{ name: "x", dims: ["N", n] }],
  outputs: [{ name: "y", dims: ["N", n] }],
  nodes: [
    { op: "Gemm", name: names[0], inputs: ["x", "A"], outputs: ["a"] },
    { op: "Relu", inputs: ["a"], outputs: ["ra"] },
    { op: "Gemm", name: names[1], inputs: ["ra", "B"], outputs: ["b"] },
    { op: "Relu", inputs: ["b"], outputs: ["rb"] },
    { op: "Gemm", name: names[2], inputs: ["rb", "C"], outputs: ["y"] },
  ],
  weights: ["A", "B", "C"].map((name, i) => ({ name, dims: [n, n], data: weights[i] })),
});

/** The network in plain arithmetic; returns the outputs of all records. */
function run(matrices: readonly ArrayLike<number>[]): number[] {
  const out: number[] = [];
  for (let r = 0; r < count; r++) {
    let x = Array.from(records.subarray(r * n, (r + 1) * n));
    matrices.forEach((w, layer) => {
      x = Array.from({ length: n }, (_, c) => x.reduce((sum, v, i) => sum + v * w[i * n + c], 0));
      if (layer < matrices.length - 1) x = x.map((v) => Math.max(0, v));
    });
    out.push(...x);
  }
  return out;
}

/** Four bits, one scale per output channel from its largest weight: w ~ s q, q in -7..7. */
function rounded(w: Float32Array): number[] {
  const scale = Array.from({ length: n }, (_, c) =>
    Math.max(...Array.from({ length: n }, (_, i) => Math.abs(w[i * n + c]) / 7)),
  );
  return Array.from(w, (v, i) => Math.round(v / scale[i % n]) * scale[i % n]);
}

function sqnrBetween(x: readonly number[], y: readonly number[]): number {
  const signal = x.reduce((sum, v) => sum + v * v, 0);
  const noise = x.reduce((sum, v, i) => sum + (v - y[i]) ** 2, 0);
  return 10 * Math.log10(signal / noise);
}

const largest = (row: readonly number[]) => row.indexOf(Math.max(...row));
const plain = run(weights);
/** The network's own answers, but each sixth is another class. */
const labels = Array.from({ length: count }, (_, r) => {
  const own = largest(plain.slice(r * n, (r + 1) * n));
  return r % 6 === 0 ? (own + 1) % n : own;
});

const loaded = await loadModel(model, nodePlatform);
const x = tensor("float32", [count, n], records);
const data = tensorDataset({ x }, tensor("int64", [count], labels));
const env: Environment = {
  platform: quickPlatform(),
  ...{
    runtime,
    target: nodeCpu,
    threads: 1,
    seed: 1,
    signal: null,
    data,
    calibration: data,
    training: null,
  },
  ...{ teacher: null, trainThreads: 1, checkpoints: null, computeChoice: null, timingMs: 1 },
  feeds: (await data.read([0, 1])).inputs,
  onEvent() {},
};
const minmax = "quantize-weights:bits=4,scale=minmax";
const found = await sensitivity(loaded, env, { recipes: [minmax, "quantize-int8"] });
const layer = ({ layers }: Sensitivity, name: string) =>
  layers.find((row) => row.name === name) as Sensitivity["layers"][number];

describe("sensitivity", () => {
  test("is that of arithmetic by hand, layer by layer", () => {
    const noise = names.map((_, i) => {
      const changed = weights.map((w, k) => (k === i ? rounded(w) : w));
      return 10 ** (-sqnrBetween(plain, run(changed)) / 10);
    });
    const sum = noise.reduce((a, b) => a + b, 0);
    for (const [i, name] of names.entries()) {
      const [{ damage, share }] = layer(found, name).recipes;
      expect(damage?.sqnr).toBeCloseTo(-10 * Math.log10(noise[i]), 2);
      expect(share).toBeCloseTo(noise[i] / sum, 4);
    }
    const all = found.recipes[0].all?.sqnr;
    expect(all).toBeCloseTo(sqnrBetween(plain, run(weights.map(rounded))), 2);
  });

  test("puts the layer with outliers first and leaves it out of the recipe", () => {
    const [four] = found.recipes;
    expect(found.layers[0].name).toBe("worse");
    expect(four.except).toEqual(["worse"]);
    expect(four.share).toBe(layer(found, "worse").recipes[0].share);
    expect(four.share).toBeGreaterThan(0.8);
    expect(four.advice).toBe(`${minmax},except=worse`);
    const others = weights.map((w, i) => (i === 1 ? w : rounded(w)));
    expect(four.rest?.sqnr).toBeCloseTo(sqnrBetween(plain, run(others)), 2);
    expect(parseRecipe(four.advice)[0].options).toMatchObject({ except: ["worse"], bits: 4 });
  });

  test("agrees with the recipe applied to that layer alone, its outputs compared by hand", async () => {
    const start = simplify(loaded.model);
    const before = concat(writeModel(start)).byteLength;
    for (const [r, name, recipe] of [
      [0, "last", `${minmax},only=last,rescue=false`],
      [1, "worse", "quantize-int8:only=worse,rescue=false"],
    ] as const) {
      const { bytes, kept } = await applyRecipe(start, parseRecipe(recipe), env);
      expect(kept).toEqual([true]);
      const session = await runtime.open({ bytes }, { threads: 1 });
      const y = Array.from((await session.run({ x })).y.floats());
      await session.close();
      const answers = (all: readonly number[]) =>
        labels.map((_, i) => largest(all.slice(i * n, (i + 1) * n)));
      const [own, original] = [answers(y), answers(plain)];
      const percent = (hit: (i: number) => boolean) =>
        (100 * labels.filter((_, i) => hit(i)).length) / count;
      const right = (all: readonly number[]) => percent((i) => all[i] === labels[i]);
      const { damage } = layer(found, name).recipes[r];
      expect(damage?.sqnr).toBeCloseTo(sqnrBetween(plain, y), 2);
      expect(damage?.flips).toBeCloseTo(
        percent((i) => own[i] !== original[i]),
        9,
      );
      expect(damage?.drop).toBeCloseTo(right(original) - right(own), 9);
      expect(damage?.saved).toBe(before - bytes.byteLength);
    }
  });

  test("gives the worst layers that have half of the noise, and no more of them", () => {
    for (const [r, { except, share }] of found.recipes.entries()) {
      const of = (name: string) => layer(found, name).recipes[r].share;
      const subsets = Array.from({ length: 2 ** names.length }, (_, bits) =>
        names.filter((_, i) => bits & (1 << i)),
      ).filter((some) => some.reduce((sum, name) => sum + of(name), 0) >= 0.5);
      expect(except).toHaveLength(Math.min(...subsets.map(({ length }) => length)));
      expect(share).toBeGreaterThanOrEqual(0.5);
    }
  });

  test("says why a recipe leaves a layer alone", async () => {
    const recipes = ["prune-magnitude:sparsity=0"];
    const none = await sensitivity(loaded, env, { recipes, records: 8 });
    expect(none.records).toBe(8);
    for (const { recipes } of none.layers) {
      expect(recipes[0]).toMatchObject({ damage: null, share: 0 });
      expect(recipes[0].reason).toMatch(/./);
    }
    expect(none.recipes[0]).toMatchObject({ all: null, except: [], rest: null });
    expect(sensitivityTable(none, { width: 100, color: false })).toContain("no layer");
  });

  test("stops when it is told to", async () => {
    const controller = new AbortController();
    const onEvent = () => controller.abort();
    const own = { ...env, signal: controller.signal, onEvent };
    await expect(sensitivity(loaded, own)).rejects.toMatchObject({ code: "aborted" });
  });

  test("refuses what gives no figure, before any work", async () => {
    const refused = (recipe: string) => sensitivity(loaded, env, { recipes: [recipe] });
    await expect(sensitivity(loaded, { ...env, data: null })).rejects.toMatchObject({
      code: "bad-usage",
    });
    for (const recipe of ["train", "simplify", "pack", "quantize-weights:except=last"]) {
      await expect(refused(recipe), recipe).rejects.toMatchObject({ code: "bad-option" });
    }
  });
});

test("the table has a column per recipe, bars that begin below each other, and recipes to copy", () => {
  const text = sensitivityTable(found, { width: 100, color: false });
  const lines = text.split("\n");
  expect(lines[1]).toMatch(/^layer +op +quantize-weights:bits=4,scale=minmax +quantize-int8$/);
  const first = lines.slice(3, 6).map((line) => line.search(/[█▏▎▍▌▋▊▉]/));
  expect(new Set(first).size).toBe(1);
  expect(lines).toContain(`  ${minmax},except=worse`);
});
