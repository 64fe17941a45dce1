/** @file Channels that are added: unseen by the outputs, there for kernels and for training. */
import { expect, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import type { Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { openWebRuntime } from "../../src/runtime/ort-web.ts";
import { targetNamed } from "../../src/targets/index.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { relativeError } from "../support/error.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(4);
const numbers = (size: number, scale = 0.5): Float32Array =>
  Float32Array.from({ length: size }, () => random.normal() * scale);
const x = tensor("float32", [8, 3, 8, 8], numbers(8 * 3 * 64, 1));
const env = environmentOf(nets[0], { feeds: { x } });
const weight = (g: Builder, shape: readonly number[]): Value =>
  g.constant(numbers(shape.reduce((a, b) => a * b, 1)), { shape });
const conv = (g: Builder, y: Value, from: number, to: number): Value =>
  g.Conv(y, weight(g, [to, from, 1, 1]), weight(g, [to]));

/** A trunk of 6 channels through a residual block with a depthwise layer of 18; then 4 scores. */
const residual = layerModel(["N", 3, 8, 8], (g, input) => {
  const trunk = g.Relu(conv(g, input, 3, 6));
  const wide = g.Sigmoid(conv(g, trunk, 6, 18));
  const depthwise = g.Conv(wide, weight(g, [18, 1, 3, 3]), weight(g, [18]), {
    group: 18,
    pads: [1, 1, 1, 1],
  });
  const sum = g.Add(trunk, conv(g, g.HardSwish(depthwise), 18, 6));
  const pooled = g.Flatten(g.GlobalAveragePool(sum));
  return g.Gemm(pooled, weight(g, [4, 6]), weight(g, [4]), { transB: 1 });
});

const channels = (model: Model): string =>
  model.graph
    .sorted()
    .flatMap(({ op, inputs }) => (op === "Conv" ? [inputs[1]?.shape?.slice(0, 2).join("x")] : []))
    .join(" ");

const errorOf = async (model: Model, bytes: Uint8Array): Promise<number> => {
  const before = outputsOf(concat(writeModel(model)), { x });
  return relativeError(await before, await outputsOf(bytes, { x }));
};

test.each([
  [4, "16x3 20x16 20x1 16x20"],
  [16, "16x3 32x16 32x1 16x32"],
])("groups fill up to 16 or a multiple of %i, and nothing changes", async (round, expected) => {
  const { model, bytes, groups } = await apply(residual, "fill-channels", { round }, env);
  expect(channels(model)).toBe(expected);
  expect(groups.map(({ before, after }) => [before, after])).toEqual([
    [6, 16],
    [18, round === 4 ? 20 : 32],
  ]);
  expect(await errorOf(residual, bytes)).toBeLessThan(1e-6);
});

test("training puts what was added to use", async () => {
  const { model } = await apply(residual, "fill-channels", {}, env);
  // No label tells anything: the outputs are to become zero.
  const y = tensor("float32", [8, 4], new Float32Array(32));
  const options = { loss: "mse", epochs: 4, holdout: 0 };
  const training = tensorDataset({ x }, y);
  const trained = await apply(model, "train", options, { ...env, training });
  const head = trained.model.graph.sorted().find(({ op }) => op === "Gemm")?.inputs[1]?.tensor;
  const added = head?.floats().filter((_, i) => i % 16 >= 6) ?? new Float32Array();
  expect(added.length).toBe(40);
  // A Relu that never opens has nothing to learn from.
  expect(added.filter((w) => Math.abs(w) > 1e-6).length).toBeGreaterThan(20);
});

test("what is read in groups or position by position stays, with the reason", async () => {
  const model = layerModel(["N", 3, 8, 8], (g, input) => {
    const first = g.Relu(conv(g, input, 3, 6));
    const grouped = g.Relu(g.Conv(first, weight(g, [10, 3, 1, 1]), null, { group: 2 }));
    return g.Gemm(g.Flatten(grouped), weight(g, [4, 640]), null, { transB: 1 });
  });
  const { skipped, bytes } = await apply(model, "fill-channels", {}, env);
  expect(skipped.map(({ reason }) => reason).join("; ")).toMatch(/in groups|in blocks/);
  expect(await errorOf(model, bytes)).toBe(0);
});

test("whatever keeps channels apart lies between layers of any kind", async () => {
  const model = layerModel(["N", 3, 8, 8], (g, input) => {
    const scale = g.constant(
      numbers(6, 0.3).map((v) => 2 + v),
      { shape: [6, 1, 1] },
    );
    const first = g.Gelu(g.Div(conv(g, input, 3, 6), scale));
    const up = g.ConvTranspose(first, weight(g, [6, 10, 2, 2]), weight(g, [10]));
    const smooth = g.Softplus(g.Sub(up, g.Elu(up)));
    const pooled = g.Squeeze(g.GlobalMaxPool(smooth), g.ints([2, 3]));
    return g.MatMul(g.Erf(pooled), weight(g, [10, 4]));
  });
  const { bytes, skipped, groups } = await apply(model, "fill-channels", {}, env);
  expect(skipped).toEqual([]);
  expect(groups.map(({ before, after }) => [before, after])).toEqual([
    [6, 16],
    [10, 16],
  ]);
  expect(await errorOf(model, bytes)).toBeLessThan(1e-5);
});

test("a Reshape that says how many channels there are keeps them", async () => {
  const model = layerModel(["N", 3, 8, 8], (g, input) => {
    const flat = g.Reshape(g.GlobalAveragePool(conv(g, input, 3, 6)), g.ints([-1, 6]));
    return g.Gemm(flat, weight(g, [4, 6]), null, { transB: 1 });
  });
  const { bytes, skipped } = await apply(model, "fill-channels", {}, env);
  expect(skipped.map(({ reason }) => reason).join()).toContain(
    "(Reshape) spells out how many there are",
  );
  expect(await errorOf(model, bytes)).toBe(0);
});

test("the web has no blocks to fill", async () => {
  const runtime = await openWebRuntime();
  const target = targetNamed("web-wasm", "test");
  const { bytes } = await apply(residual, "fill-channels", {}, { ...env, runtime, target });
  expect(Buffer.compare(bytes, concat(writeModel(residual)))).toBe(0);
});
