/** @file Bias correction: the mean output of a rounded layer is that of the float layer. */
import { expect, test } from "vitest";
import type { Context } from "../../src/context.ts";
import { correctBias } from "../../src/int8/bias-correction.ts";
import { observeMeans } from "../../src/int8/means.ts";
import { planInt8 } from "../../src/int8/plan.ts";
import type { Value } from "../../src/ir/graph.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { createObserve } from "../../src/recipe/observe.ts";
import { leaf } from "../../src/weights/weight.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(3);
const normal = (size: number): Float32Array =>
  Float32Array.from({ length: size }, () => random.normal());
const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

const cases: Record<
  string,
  { shape: number[]; weight: number[]; draw: (g: Builder, x: Value, w: Value, b: Value) => Value }
> = {
  Conv: {
    shape: [4, 5, 5],
    weight: [6, 4, 3, 2],
    draw: (g, x, w, b) => g.Conv(x, w, b, { strides: [2, 1] }),
  },
  "Conv, 2 groups": {
    shape: [4, 5, 5],
    weight: [6, 2, 3, 3],
    draw: (g, x, w, b) => g.Conv(x, w, b, { group: 2 }),
  },
  "Conv, depthwise": {
    shape: [6, 4, 4],
    weight: [6, 1, 2, 2],
    draw: (g, x, w, b) => g.Conv(x, w, b, { group: 6 }),
  },
  Gemm: { shape: [7], weight: [7, 6], draw: (g, x, w, b) => g.Gemm(x, w, b) },
  "Gemm, transB": {
    shape: [7],
    weight: [6, 7],
    draw: (g, x, w, b) => g.Gemm(x, w, b, { transB: 1 }),
  },
  "MatMul and Add": {
    shape: [3, 7],
    weight: [7, 6],
    draw: (g, x, w, b) => g.Add(g.MatMul(x, w), b),
  },
};

/** The mean of each of 6 output channels, over records and positions. */
function channelMeans(y: Tensor): number[] {
  const axis = y.shape.length === 4 ? 1 : y.shape.length - 1;
  const inner = sizeOf(y.shape.slice(axis + 1));
  const sums = new Array(6).fill(0);
  for (const [i, v] of y.floats().entries()) sums[Math.floor(i / inner) % 6] += v;
  return sums.map((sum) => (sum * 6) / y.size);
}

test.each(Object.entries(cases))("%s", async (_, { shape, weight, draw }) => {
  const RECORDS = 20;
  const size = sizeOf(shape);
  // Channels have means of their own, the same at each position, so that windows see them too.
  const channel = (i: number): number =>
    shape.length === 3 ? Math.floor(i / (shape[1] * shape[2])) % shape[0] : i % (shape.at(-1) ?? 1);
  const exact = Float32Array.from(
    { length: RECORDS * size },
    (_, i) => 1 + (channel(i % size) % 5),
  );
  const rounded = exact.map((v, i) => v + 0.3 - 0.1 * channel(i % size));
  const values = normal(sizeOf(weight));
  const coarse = values.map((w) => Math.round(2 * w) / 2 + 0.05);
  const model = (w: Float32Array) =>
    layerModel(["N", ...shape], (g, x) =>
      draw(g, x, g.constant(w, { shape: weight }), g.constant([1, -2, 3, 0, 5, -6])),
    );
  const run = async (of: ReturnType<typeof model>, x: Float32Array) =>
    channelMeans(
      (await outputsOf(concat(writeModel(of)), { x: tensor("float32", [RECORDS, ...shape], x) })).y,
    );
  const expected = await run(model(values), exact);
  const corrected = model(coarse);
  const before = await run(corrected, rounded);
  expect(Math.max(...before.map((v, o) => Math.abs(v - expected[o])))).toBeGreaterThan(0.1);
  const [use] = weightsOf(corrected);
  const count = shape.length === 3 ? shape[0] : (shape.at(-1) ?? 1);
  const means = {
    exact: Float64Array.from({ length: count }, (_, c) => 1 + (c % 5)),
    error: Float64Array.from({ length: count }, (_, c) => 0.3 - 0.1 * c),
  };
  correctBias(use.node, use.role, leaf(values, weight), coarse, means);
  const after = await run(corrected, rounded);
  for (const [o, mean] of after.entries()) expect(mean).toBeCloseTo(expected[o], 4);
});

test("without an error of the input it is b - (W' - W) E[x], equation by equation", () => {
  // W = [[1, 2], [3, 4]] of Gemm with transB; W' = W + [[.5, -.25], [0, 1]]; E[x] = [10, 20].
  const model = layerModel(["N", 2], (g, x) =>
    g.Gemm(x, g.constant([1.5, 1.75, 3, 5], { shape: [2, 2] }), g.constant([7, 8]), { transB: 1 }),
  );
  const [{ node, role }] = weightsOf(model);
  const weight = leaf(Float32Array.of(1, 2, 3, 4), [2, 2]);
  const means = { exact: Float64Array.of(10, 20), error: new Float64Array(2) };
  correctBias(node, role, weight, Float32Array.of(1.5, 1.75, 3, 5), means);
  // .5 * 10 - .25 * 20 = 0; 0 * 10 + 1 * 20 = 20.
  expect([...(node.inputs[2]?.tensor?.floats() ?? [])]).toEqual([7, -12]);
});

test("means of the input, and of what rounding to uint8 adds to it, channel by channel", async () => {
  const [records, channels, plane] = [64, 3, 4];
  const values = normal(records * channels * plane).map(
    (v, i) => v + (Math.floor(i / plane) % channels),
  );
  const x = tensor("float32", [records, channels, 2, 2], values);
  const model = layerModel(["N", channels, 2, 2], (g, input) =>
    g.Conv(input, g.constant(normal(8 * channels), { shape: [8, channels, 1, 1] })),
  );
  const context = { skip() {}, warn() {} } as unknown as Context;
  const choice = { only: [], except: [], ops: "all", floatDepthwise: false } as const;
  const plan = planInt8(model, choice, context);
  const [input] = model.graph.inputs;
  const [scale, zeroPoint] = [0.5, 3];
  const env = environmentOf(nets[0], { calibration: tensorDataset({ x }) });
  const found = await observeMeans(
    model,
    plan,
    new Map([[input, { scale, zeroPoint }]]),
    createObserve(env, () => {}, "test"),
  );
  const [{ exact, error }] = [...found.values()];
  for (let c = 0; c < channels; c++) {
    const own = values.filter((_, i) => Math.floor(i / plane) % channels === c);
    const mean = (of: (v: number) => number) => own.reduce((sum, v) => sum + of(v), 0) / own.length;
    // Below -1.5 all values become -1.5.
    const rounded = (v: number) =>
      (Math.max(0, Math.round(v / scale) + zeroPoint) - zeroPoint) * scale;
    expect(exact[c]).toBeCloseTo(
      mean((v) => v),
      5,
    );
    expect(error[c]).toBeCloseTo(
      mean((v) => rounded(v) - v),
      5,
    );
  }
  expect(error[0]).toBeGreaterThan(0.01);
});

test("int8: the mean output over the calibration records stays", async () => {
  const x = tensor(
    "float32",
    [65, 16],
    normal(65 * 16).map((v) => v + 2),
  );
  const model = layerModel(["N", 16], (g, input) => {
    const weight = (scale: number): Value =>
      g.constant(
        normal(16 * 16).map((w) => w * scale),
        { shape: [16, 16] },
      );
    const hidden = g.Relu(g.Gemm(input, weight(0.4), g.constant(normal(16))));
    return g.Gemm(hidden, weight(0.3), g.constant(normal(16)));
  });
  const env = environmentOf(nets[0], { calibration: tensorDataset({ x }), feeds: { x } });
  const mean = async (bytes: Uint8Array): Promise<Float64Array> => {
    const sums = new Float64Array(16);
    for (const [i, v] of (await outputsOf(bytes, { x })).y.floats().entries())
      sums[i % 16] += v / 65;
    return sums;
  };
  const expected = await mean(concat(writeModel(model)));
  const shift = async (options: object): Promise<number> => {
    const { bytes } = await apply(model, "quantize-int8", { equalize: false, ...options }, env);
    const found = await mean(bytes);
    return Math.hypot(...found.map((v, i) => v - expected[i]));
  };
  const [corrected, plain] = [await shift({}), await shift({ correctBias: false })];
  expect(plain).toBeGreaterThan(0.01);
  expect(corrected).toBeLessThan(plain / 5);
});
