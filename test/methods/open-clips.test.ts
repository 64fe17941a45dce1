/** @file Upper bounds that nobody feels go, those that are felt stay. */
import { expect, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { relativeError } from "../support/error.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(12);
const numbers = (size: number, scale: number): Float32Array =>
  Float32Array.from({ length: size }, () => random.normal() * scale);
const x = tensor("float32", [64, 6], numbers(64 * 6, 1));
const env = environmentOf(nets[0], { calibration: tensorDataset({ x }), feeds: { x } });
const dense = (g: Builder, y: Value, scale: number): Value =>
  g.Gemm(y, g.constant(numbers(36, scale), { shape: [6, 6] }), null, { transB: 1 });

/** Layer 1 is bounded far above what it gives, layer 2 in the midst of it; a window is no Relu. */
const model = layerModel(["N", 6], (g, input) => {
  const low = g.Clip(dense(g, input, 0.4), g.constant(0), g.constant(60));
  const felt = g.Clip(dense(g, low, 1), g.constant(0), g.constant(0.5));
  return dense(g, g.Clip(dense(g, felt, 1), g.constant(-1), g.constant(1)), 1);
});
const clips = (of: typeof model): number[] =>
  of.graph
    .sorted()
    .filter(({ op }) => op === "Clip")
    .map(({ inputs }) => Number(inputs[2]?.tensor?.numbers()[0]));
const before = concat(writeModel(model));

test("a bound beyond all that is ever given goes, and nothing changes", async () => {
  const done = await apply(model, "open-clips", {}, env);
  expect(clips(done.model)).toEqual([0.5, 1]);
  expect(done.model.graph.sorted().filter(({ op }) => op === "Relu").length).toBe(1);
  expect(done.warnings).toEqual(["1 of 2 clips are open; the outputs move by 0.0"]);
  expect(done.bytes.length).toBeLessThan(before.length);
  const [expected, actual] = [await outputsOf(before, { x }), await outputsOf(done.bytes, { x })];
  expect(relativeError(expected, actual)).toBe(0);
});

test("a bound that is felt names its layer and how far the outputs would move", async () => {
  const { skipped, bytes } = await apply(model, "open-clips", { tolerance: 1 }, env);
  expect(skipped).toEqual([]);
  const kept = await apply(model, "open-clips", { tolerance: 0.01 }, env);
  expect(kept.skipped.map(({ node }) => node)).toEqual(["layer3"]);
  const told = Number(kept.skipped[0].reason.split(" ").at(-1));
  const [y, open] = [before, bytes].map((each) => outputsOf(each, { x }));
  const [a, b] = [Object.values(await y)[0].floats(), Object.values(await open)[0].floats()];
  const square = (values: Float32Array): number => values.reduce((sum, v) => sum + v * v, 0);
  const moved = square(a.map((v, i) => v - b[i])) / square(a);
  expect(told).toBeGreaterThan(0.01);
  expect(told / moved).toBeCloseTo(1, 1);
});

test("together they move the outputs by no more than is tolerated", async () => {
  const twice = layerModel(["N", 6], (g, input) => {
    let y = input;
    for (const bound of [1.6, 1.7, 1.8]) {
      y = g.Clip(dense(g, y, 0.7), g.constant(0), g.constant(bound));
    }
    return dense(g, y, 1);
  });
  for (const tolerance of [0.0003, 0.003, 0.03]) {
    const { warnings } = await apply(twice, "open-clips", { tolerance }, env);
    const moved = Number(warnings[0]?.split(" ").at(-1) ?? 0);
    expect(moved).toBeLessThanOrEqual(tolerance);
  }
});

test("the layer that a clip bounds is found behind sums and scales", async () => {
  const scaled = layerModel(["N", 6], (g, input) => {
    const y = g.Div(g.Sub(dense(g, input, 0.4), g.constant(1)), g.constant(2));
    return g.Clip(y, g.constant(0), g.constant(60));
  });
  const done = await apply(scaled, "open-clips", {}, env);
  expect(done.warnings).toEqual(["1 of 1 clips are open; the outputs move by 0.0"]);
  const spared = await apply(scaled, "open-clips", { except: ["layer1"] }, env);
  expect(clips(spared.model)).toEqual([60]);
});
