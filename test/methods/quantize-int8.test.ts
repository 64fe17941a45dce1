/** @file Static int8 leaves layers in float that no integer kernel computes, with the reason. */
import { expect, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { relativeError } from "../support/error.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(12);
const numbers = (size: number, scale: number): Float32Array =>
  Float32Array.from({ length: size }, () => random.normal() * scale);
const x = tensor("float32", [64, 16], numbers(64 * 16, 1));
const env = environmentOf(nets[0], { calibration: tensorDataset({ x }), feeds: { x } });

test.each([
  ["its weight is the left operand", {}, true],
  ["its product or bias is scaled", { alpha: 0.5 }, false],
  ["its product or bias is scaled", { beta: 2 }, false],
] as const)("%s: %j", async (reason, attributes, isLeft) => {
  const model = layerModel(["N", 16], (g, input) => {
    const weight = g.constant(numbers(256, 0.4), { shape: [16, 16] });
    const first = g.Gemm(input, weight, null, { transB: 1 });
    const other = g.constant(numbers(256, 0.4), { shape: [16, 16] });
    const sides = isLeft ? [other, first] : [first, other];
    const bias = isLeft ? null : g.constant(numbers(16, 1));
    return g.Gemm(...sides, bias, { transB: 1, ...attributes });
  });
  const { skipped, bytes } = await apply(model, "quantize-int8", {}, env);
  expect(skipped).toEqual([{ node: "layer2", method: "quantize-int8", reason }]);
  const [before, after] = [concat(writeModel(model)), bytes].map((file) => outputsOf(file, { x }));
  expect(relativeError(await before, await after)).toBeLessThan(0.02);
});

test("a weight of several matrices stays in float: the engine's kernel takes scales of one", async () => {
  const model = layerModel(["N", 16], (g, input) => {
    const first = g.Gemm(input, g.constant(numbers(256, 0.4), { shape: [16, 16] }));
    return g.MatMul(first, g.constant(numbers(3 * 256, 0.4), { shape: [3, 16, 16] }));
  });
  const { skipped, bytes } = await apply(model, "quantize-int8", {}, env);
  const reason = "its weight has 3 axes: the int8 kernel takes one matrix";
  expect(skipped).toEqual([{ node: "layer2", method: "quantize-int8", reason }]);
  const [before, after] = [concat(writeModel(model)), bytes].map((file) => outputsOf(file, { x }));
  expect(relativeError(await before, await after)).toBeLessThan(0.02);
});

test("values that never are finite stay in float", async () => {
  // Scores of attention are masked so: log(0) = -Infinity where x is negative. The sum would join
  // the convolution before it on integers.
  const model = layerModel(["N", 8, 2, 2], (g, input) => {
    const weight = (): Value => g.constant(numbers(64, 0.4), { shape: [8, 8, 1, 1] });
    const scores = g.Add(g.Conv(input, weight()), g.Log(g.Relu(input)));
    return g.Conv(g.Softmax(scores, { axis: 1 }), weight());
  });
  const images = { x: tensor("float32", [64, 8, 2, 2], numbers(64 * 32, 1)) };
  const own = environmentOf(nets[0], { calibration: tensorDataset(images), feeds: images });
  const run = async (file: Uint8Array) => (await outputsOf(file, images)).y;
  const before = await run(concat(writeModel(model)));
  for (const calibrator of ["mse", "minmax"]) {
    const {
      model: result,
      bytes,
      skipped,
    } = await apply(model, "quantize-int8", { calibrator }, own);
    expect(skipped).toEqual([]);
    const rounded = [...result.graph.nodes].filter(({ op }) => op === "QuantizeLinear");
    // Inputs and outputs of both layers: not the mask, nor the sum with it.
    expect(rounded.length).toBe(4);
    expect(relativeError({ y: before }, { y: await run(bytes) })).toBeLessThan(0.05);
  }
});
