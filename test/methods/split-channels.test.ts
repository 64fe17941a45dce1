/** @file Outlier channel splitting against weights worked by hand; the function stays. */
import { expect, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import type { Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { relativeError } from "../support/error.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(19);
const normal = (size: number): Float32Array =>
  Float32Array.from({ length: size }, () => random.normal());
const envOf = (x: ReturnType<typeof tensor>) =>
  environmentOf(nets[0], { calibration: tensorDataset({ x }), feeds: { x } });
const bytesOf = (model: Model): Uint8Array => concat(writeModel(model));
const ops = (model: Model): string[] => model.graph.sorted().map(({ op }) => op);
const input = (model: Model, op: string, index: number): number[][] =>
  model.graph
    .sorted()
    .filter((node) => node.op === op)
    .map(({ inputs }) => [...(inputs[index]?.tensor?.floats() ?? [])]);
async function expectSame(a: Model, b: Uint8Array, x: ReturnType<typeof tensor>): Promise<void> {
  const [before, after] = [bytesOf(a), b].map((file) => outputsOf(file, { x }));
  expect(relativeError(await before, await after)).toBeLessThan(1e-6);
}

test("the largest channel is split into (w - s / 2) / 2 and (w + s / 2) / 2, then the next", async () => {
  const model = layerModel(["N", 3], (g, x) =>
    g.MatMul(x, g.constant([1, 0.5, 14, -3, 2, 8], { shape: [3, 2] })),
  );
  const x = tensor("float32", [4, 3], normal(12));
  // 2 splits of 3 channels with 4 bits: levels -7 to 7.
  const options = { ratio: 0.5, bits: 4, scale: "layer" };
  const { model: split, bytes, groups } = await apply(model, "split-channels", options, envOf(x));
  expect(ops(split)).toEqual(["Gather", "MatMul"]);
  const gather = split.graph.sorted()[0];
  expect([...(gather.inputs[1]?.tensor?.numbers() ?? [])].map(Number)).toEqual([0, 1, 2, 1, 2]);
  // The largest weight is then 7, so s = 1.
  const half = (w: number, sign: number): number => (w + sign * 0.5) / 2;
  const expected = [
    ...[1, 0.5],
    ...[half(14, -1), half(-3, -1)],
    ...[half(2, -1), half(8, -1)],
    ...[half(14, 1), half(-3, 1)],
    ...[half(2, 1), half(8, 1)],
  ];
  const [weight] = input(split, "MatMul", 1);
  for (const [i, w] of weight.entries()) expect(w).toBeCloseTo(expected[i], 5);
  expect(groups).toMatchObject([{ node: "layer1", before: 3, after: 5 }]);
  await expectSame(model, bytes, x);
});

test("halves of whole levels round to levels whose sum is the whole", async () => {
  // Levels n s with s = 1: after splitting the largest is 7 again.
  for (const n of [14, 13, 12, 9, 8]) {
    const model = layerModel(["N", 2], (g, x) =>
      g.MatMul(x, g.constant([n, 7], { shape: [2, 1] })),
    );
    const x = tensor("float32", [2, 2], normal(4));
    const options = { ratio: 0.5, bits: 4, scale: "layer" };
    const { model: split } = await apply(model, "split-channels", options, envOf(x));
    const [[a, , b]] = input(split, "MatMul", 1);
    const s = Math.max(n / 2, 7) / 7;
    expect(Math.round(a / s) + Math.round(b / s)).toBe(Math.round(n / s));
  }
});

test("a layer before makes the channels twice, with its bias, and a sum of two layers too", async () => {
  const square = (g: Builder): Value => g.constant(normal(64), { shape: [8, 8, 1, 1] });
  const model = layerModel(["N", 8, 3, 3], (g, x) => {
    const first = g.Conv(x, square(g), g.constant(normal(8)));
    const second = g.Conv(x, square(g));
    const joined = g.Relu(g.Add(first, g.Add(second, g.constant(normal(8), { shape: [8, 1, 1] }))));
    return g.Conv(g.MaxPool(joined, { kernel_shape: [2, 2] }), square(g));
  });
  const x = tensor("float32", [4, 8, 3, 3], normal(288));
  const { model: split, bytes } = await apply(model, "split-channels", { ratio: 0.25 }, envOf(x));
  // The input of the model can only be gathered.
  expect(ops(split).filter((op) => op === "Gather").length).toBe(1);
  expect(split.graph.sorted().find(({ op }) => op === "MaxPool")?.output.shape?.[1]).toBe(10);
  await expectSame(model, bytes, x);
});

test("behind a normalization, and behind a depthwise layer, a Gather repeats them", async () => {
  const model = layerModel(["N", 8], (g, x) => {
    const y = g.LayerNormalization(x, g.constant(normal(8)), g.constant(normal(8)));
    const [a, b] = [0, 1].map(() => g.MatMul(y, g.constant(normal(64), { shape: [8, 8] })));
    return g.Add(a, b);
  });
  const x = tensor("float32", [4, 8], normal(32));
  const { model: split, bytes } = await apply(model, "split-channels", {}, envOf(x));
  expect(ops(split).filter((op) => op === "Gather").length).toBe(1);
  await expectSame(model, bytes, x);
  const convolution = layerModel(["N", 8, 3, 3], (g, image) => {
    const y = g.Conv(image, g.constant(normal(8), { shape: [8, 1, 1, 1] }), null, { group: 8 });
    return g.Conv(y, g.constant(normal(64), { shape: [8, 8, 1, 1] }));
  });
  const images = tensor("float32", [4, 8, 3, 3], normal(288));
  const done = await apply(convolution, "split-channels", {}, envOf(images));
  expect(ops(done.model)).toEqual(["Conv", "Gather", "Conv"]);
  expect(done.skipped).toEqual([
    { node: "layer1", method: "split-channels", reason: "reads its channels in groups" },
  ]);
  await expectSame(convolution, done.bytes, images);
});

test("few bits with one scale for each layer gain by it where one channel is larger", async () => {
  const values = normal(32 * 32).map((w, i) => (Math.floor(i / 32) === 5 ? 4 * w : w));
  const model = layerModel(["N", 32], (g, x) =>
    g.MatMul(x, g.constant(values, { shape: [32, 32] })),
  );
  const x = tensor("float32", [64, 32], normal(64 * 32));
  const errorOf = async (start: Model): Promise<number> => {
    const { bytes } = await apply(start, "fixed-point", { bits: 6 }, envOf(x));
    const [a, b] = [bytesOf(model), bytes].map((file) => outputsOf(file, { x }));
    const [y, z] = [(await a).y.floats(), (await b).y.floats()];
    return Math.sqrt(y.reduce((sum, v, i) => sum + (v - z[i]) ** 2, 0));
  };
  const options = { ratio: 0.06, bits: 6, scale: "layer" };
  const { model: split } = await apply(model, "split-channels", options, envOf(x));
  expect(await errorOf(split)).toBeLessThan(0.7 * (await errorOf(model)));
});
