/** @file Static int8 leaves layers in float that no integer kernel computes, with the reason. */
import { expect, test } from "vitest";
import { expectedGain } from "../../src/int8/gain.ts";
import type { Value } from "../../src/ir/graph.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { nodeCpu } from "../../src/targets/node-cpu.ts";
import { webWasm } from "../../src/targets/web-wasm.ts";
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

/** Operators of the nodes that read a value, those behind DequantizeLinear too, sorted. */
const readers = (value: Value): string =>
  value.consumers
    .flatMap((node) => (node.op === "DequantizeLinear" ? node.output.consumers : [node]))
    .map(({ op }) => op)
    .sort()
    .join();

test("x Sigmoid(x) between layers is computed on integers, another product with a sigmoid is not", async () => {
  const shape = [8, 8, 1, 1];
  const model = layerModel(["N", 8, 4, 4], (g, input) => {
    const conv = (x: Value) => g.Conv(x, g.constant(numbers(64, 0.4), { shape }));
    const first = conv(input);
    const second = conv(g.Mul(first, g.Sigmoid(first)));
    const gate = g.Sigmoid(conv(g.GlobalAveragePool(second)));
    return conv(g.Mul(second, gate));
  });
  const images = { x: tensor("float32", [32, 8, 4, 4], numbers(32 * 128, 1)) };
  const own = environmentOf(nets[0], { calibration: tensorDataset(images), feeds: images });
  const { model: result, bytes } = await apply(model, "quantize-int8", {}, own);
  const named = (op: string) => [...result.graph.nodes].filter((node) => node.op === op);
  expect(named("Sigmoid").map(({ output }) => readers(output))).toEqual(["QuantizeLinear", "Mul"]);
  expect(named("Mul").map(({ output }) => readers(output))).toEqual([
    "QuantizeLinear",
    "QuantizeLinear",
  ]);
  const factors = named("Mul").map(({ inputs }) => inputs.map((x) => x?.producer?.op).join());
  expect(factors).toEqual(["DequantizeLinear,DequantizeLinear", "DequantizeLinear,Sigmoid"]);
  const [before, after] = [concat(writeModel(model)), bytes].map((f) => outputsOf(f, images));
  expect(relativeError(await before, await after)).toBeLessThan(0.05);
});

test("kernel=auto computes wide layers on integers and stores narrow ones in 8 bits", async () => {
  const model = layerModel(["N", 128, 8, 8], (g, input) => {
    const conv = (x: Value, n: number, m: number, k: number) =>
      g.Conv(x, g.constant(numbers(n * m * k * k, 0.05), { shape: [n, m, k, k] }), null, {
        pads: [k >> 1, k >> 1, k >> 1, k >> 1],
      });
    const wide = g.Relu(conv(g.Relu(conv(input, 128, 128, 3)), 128, 128, 3));
    return conv(g.Tanh(conv(wide, 8, 128, 1)), 8, 8, 1);
  });
  const images = { x: tensor("float32", [4, 128, 8, 8], numbers(4 * 8192, 1)) };
  const own = environmentOf(nets[0], { calibration: tensorDataset(images), feeds: images });
  const options = { kernel: "auto", calibrator: "minmax" };
  const { bytes, warnings, model: result } = await apply(model, "quantize-int8", options, own);
  expect(warnings).toContain(
    "2 of 4 layers compute on integers (expected to be faster), the others in float",
  );
  const rounded = [...result.graph.nodes].filter(({ op }) => op === "QuantizeLinear");
  expect(rounded.map(({ output }) => output.shape?.[1])).toEqual([128, 128, 128]);
  const float = concat(writeModel(model));
  expect(bytes.length).toBeLessThan(float.length / 3.5);
  const [before, after] = [float, bytes].map((file) => outputsOf(file, images));
  expect(relativeError(await before, await after)).toBeLessThan(0.05);
});

test.each([
  ["kept", 0.99, 1],
  ["left in float", 1.01, 0],
])("a layer between others in float is %s by what its conversions cost", async (_, share, some) => {
  const x = tensor("float32", [1, 128, 8, 8], numbers(8192, 1));
  const model = layerModel([1, 128, 8, 8], (g, input) =>
    g.Tanh(
      g.Conv(
        g.Tanh(input),
        g.constant(numbers(128 * 128 * 9, 0.05), { shape: [128, 128, 3, 3] }),
        null,
        {
          pads: [1, 1, 1, 1],
        },
      ),
    ),
  );
  // Of 128 x 9 MACs for each output 1 - 1 / 3.4 are saved; one input and one output are converted.
  const conversion = (share * 128 * 9 * (1 - 1 / 3.4)) / 2;
  const target = { ...nodeCpu, int8: nodeCpu.int8 && { ...nodeCpu.int8, conversion } };
  const own = environmentOf(nets[0], { calibration: tensorDataset({ x }), feeds: { x }, target });
  const options = { kernel: "expected", calibrator: "minmax" };
  const { model: result } = await apply(model, "quantize-int8", options, own);
  const rounded = [...result.graph.nodes].filter(({ op }) => op === "QuantizeLinear");
  expect(rounded.length).toBe(2 * some);
});

test.each([
  ["3x3 of 64 channels", [64, 64, 3, 3], 1, 52, nodeCpu, 2.7],
  ["3x3 of 8 channels in wasm", [8, 8, 3, 3], 1, 52, webWasm, 0.8],
  ["1x1 of 64 channels on 14 x 14", [64, 256, 1, 1], 1, 14, nodeCpu, 1.6],
  ["1x1 of 128 channels on one position", [128, 128, 1, 1], 1, 1, nodeCpu, 0.9],
  ["1x1 of 64 channels in wasm", [64, 64, 1, 1], 1, 52, webWasm, 0.7],
  ["depthwise 3x3 of 256 channels", [256, 1, 3, 3], 256, 14, nodeCpu, 0.75],
  ["depthwise along one axis", [64, 1, 5], 64, 100, nodeCpu, 2],
  ["32 channels a group", [128, 32, 3, 3], 4, 14, nodeCpu, 1.35],
] as const)("the tables say of %s", (_, shape, groups, side, target, gain) => {
  const spread = shape.slice(2).map(() => side);
  const model = layerModel([1, shape[1] * groups, ...spread], (g, input) =>
    g.Conv(
      input,
      g.constant(new Float32Array(shape.reduce<number>((a, b) => a * b, 1)), { shape }),
      null,
      {
        group: groups,
        auto_pad: "SAME_UPPER",
      },
    ),
  );
  const [{ node, role }] = weightsOf(model);
  expect(expectedGain(node, role, shape, target)).toBeCloseTo(gain, 5);
});
