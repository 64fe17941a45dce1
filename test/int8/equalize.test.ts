/** @file Cross-layer equalization against ranges worked by hand; the function stays. */
import { expect, test } from "vitest";
import type { Context } from "../../src/context.ts";
import { equalize } from "../../src/int8/equalize.ts";
import { planInt8 } from "../../src/int8/plan.ts";
import type { Value } from "../../src/ir/graph.ts";
import { cloneModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { createObserve } from "../../src/recipe/observe.ts";
import { environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { relativeError } from "../support/error.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(4);
const normal = (size: number): Float32Array =>
  Float32Array.from({ length: size }, () => random.normal());

/** Largest activations of the four channels: |x| reaches 1 in each record of a calibration batch. */
const RANGES = [1, 1 / 16, 1 / 256, 1 / 4096];
const pixels = normal(65 * 9).map((v, i) => (i % 9 === 4 ? 1 : Math.max(-1, Math.min(1, v))));
const x = tensor("float32", [65, 1, 3, 3], pixels);
const env = environmentOf(nets[0], { calibration: tensorDataset({ x }) });
const context = { skip() {}, warn() {} } as unknown as Context;

/** A 1x1 convolution to four channels x * RANGES + bias, a Relu, and what reads it. */
function network(read: (g: Builder, y: Value) => Value): Model {
  const model = layerModel(["N", 1, 3, 3], (g, input) => {
    const weight = g.constant(RANGES, { shape: [4, 1, 1, 1] });
    const bias = g.constant(new Float32Array(4));
    return read(g, g.Relu(g.Conv(input, weight, bias)));
  });
  inferModel(model);
  return model;
}

const equalized = async (model: Model): Promise<Model> => {
  const copy = cloneModel(model);
  inferModel(copy);
  const choice = { only: [], except: [], ops: "all", floatDepthwise: false } as const;
  await equalize(
    copy,
    planInt8(copy, choice, context),
    createObserve(env, () => {}, "test"),
  );
  return copy;
};

const weights = (model: Model): number[][] =>
  [...model.graph.sorted()]
    .filter(({ op }) => op === "Conv")
    .map(({ inputs }) => [...(inputs[1]?.tensor?.floats() ?? [])]);

test("shares^(3/4) where the next layer has one scale per filter", async () => {
  const second = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  const model = network((g, y) => g.Conv(y, g.constant(second, { shape: [2, 4, 1, 1] })));
  const copy = await equalized(model);
  // s = share^(3/4): 1, (1/16)^(3/4) = 1/8, (1/256)^(3/4) = 1/64, and shares below 1/256 count as it.
  const s = [1, 1 / 8, 1 / 64, 1 / 64];
  const [first, next] = weights(copy);
  for (const [c, w] of first.entries()) expect(w).toBeCloseTo(RANGES[c] / s[c], 6);
  for (const [i, w] of next.entries()) expect(w).toBeCloseTo(second[i] * s[i % 4], 6);
  const [a, b] = [model, copy].map((of) => outputsOf(concat(writeModel(of)), { x }));
  expect(relativeError(await a, await b)).toBeLessThan(1e-6);
});

test("the whole share where each channel has a scale of its own: depthwise", async () => {
  const second = Float32Array.of(1, 2, 3, 4);
  const model = network((g, y) =>
    g.Conv(y, g.constant(second, { shape: [4, 1, 1, 1] }), null, { group: 4 }),
  );
  const copy = await equalized(model);
  const s = [1, 1 / 16, 1 / 256, 1 / 256];
  const [first, next] = weights(copy);
  for (const [c, w] of first.entries()) expect(w).toBeCloseTo(RANGES[c] / s[c], 6);
  for (const [c, w] of next.entries()) expect(w).toBeCloseTo(second[c] * s[c], 6);
  const [a, b] = [model, copy].map((of) => outputsOf(concat(writeModel(of)), { x }));
  expect(relativeError(await a, await b)).toBeLessThan(1e-6);
});

test("biases move along, and a channel that is never active stays", async () => {
  const model = layerModel(["N", 1, 3, 3], (g, input) => {
    // max |x| = 1 gives ranges 1, 1/2 + 1/2 = 1, 1/16 and 0.
    const weight = g.constant([1, 0.5, 1 / 32, 1], { shape: [4, 1, 1, 1] });
    const y = g.Relu(g.Conv(input, weight, g.constant([0, 0.5, 1 / 32, -5])));
    return g.Conv(y, g.constant([1, 1, 1, 1], { shape: [1, 4, 1, 1] }));
  });
  const copy = await equalized(model);
  const [conv] = [...copy.graph.sorted()];
  expect([...(conv.inputs[1]?.tensor?.floats() ?? [])]).toEqual([1, 0.5, 1 / 4, 1]);
  expect([...(conv.inputs[2]?.tensor?.floats() ?? [])]).toEqual([0, 0.5, 1 / 4, -5]);
  const [a, b] = [model, copy].map((of) => outputsOf(concat(writeModel(of)), { x }));
  expect(relativeError(await a, await b)).toBeLessThan(1e-6);
});

test("values whose channels were scaled do not keep the name of what they were", async () => {
  // Two values of one name are compared as the same: the report's errors by layer would be wrong.
  const model = network((g, y) =>
    g.Conv(y, g.constant(Float32Array.of(1, 2, 3, 4), { shape: [1, 4, 1, 1] })),
  );
  const outputs = (of: Model) => [...of.graph.sorted()].map(({ output }) => output.name);
  const [before, after] = [outputs(model), outputs(await equalized(model))];
  expect(after.map((name) => before.includes(name))).toEqual([false, false, true]);
});
