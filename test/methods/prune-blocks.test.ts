/** @file Residual blocks that go: those that change what goes through them least. */
import { expect, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import type { Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { relativeError } from "../support/error.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(8);
const numbers = (size: number, scale = 1): Float32Array =>
  Float32Array.from({ length: size }, () => random.normal() * scale);
const x = tensor("float32", [32, 6], numbers(32 * 6));
const env = environmentOf(nets[0], { calibration: tensorDataset({ x }) });
const dense = (g: Builder, y: Value, scale: number, width = 6): Value =>
  g.MatMul(y, g.constant(numbers(6 * width, scale), { shape: [6, width] }));

/** layer 1, then y + f(y) three times, of which the second is the weakest; then 2 scores. */
const net = (middle: number): Model =>
  layerModel(["N", 6], (g, input) => {
    let y = g.Relu(dense(g, input, 1));
    for (const scale of [0.5, middle, 0.4]) {
      y = g.Relu(g.Add(y, dense(g, g.Relu(dense(g, y, 0.5)), scale)));
    }
    // Not a block: no layer lies between the two.
    return dense(g, g.Add(g.Mul(y, g.constant(2)), y), 1, 2);
  });

test("a block that adds nothing goes without a trace, and no other", async () => {
  const model = net(0);
  const {
    model: pruned,
    bytes,
    warnings,
  } = await apply(model, "prune-blocks", { ratio: 0.34 }, env);
  expect(weightsOf(pruned).map(({ node }) => node.name)).toEqual(
    weightsOf(model)
      .map(({ node }) => node.name)
      .filter((_, i) => i !== 3 && i !== 4),
  );
  expect(warnings.join()).toMatch(/layer8 .*\(gone\), layer/);
  const outputs = [concat(writeModel(model)), bytes].map((each) => outputsOf(each, { x }));
  expect(relativeError(await outputs[0], await outputs[1])).toBeLessThan(1e-6);
});

test("influence is what arXiv 2403.03853 says, by the numbers themselves", async () => {
  const model = net(0.3);
  const sums = model.graph
    .sorted()
    .filter(({ op }) => op === "Add")
    .slice(0, 3);
  const values = sums.flatMap((sum) => [sum.inputs[0] as Value, sum.output.consumers[0].output]);
  for (const [i, value] of values.entries()) value.name = `v${i}`;
  model.graph.setOutputs([...model.graph.outputs, ...new Set(values)]);
  const seen = await outputsOf(concat(writeModel(model)), { x });
  const cosine = (a: Float32Array, b: Float32Array): number => {
    const dot = (p: Float32Array, q: Float32Array) => p.reduce((sum, v, i) => sum + v * q[i], 0);
    return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  };
  const expected = sums.map((sum, block) => {
    const [a, b] = [sum.inputs[0] as Value, sum.output.consumers[0].output].map((value) =>
      seen[value.name].floats(),
    );
    let mean = 0;
    for (let i = 0; i < 32; i++)
      mean += cosine(a.subarray(6 * i, 6 * i + 6), b.subarray(6 * i, 6 * i + 6)) / 32;
    return { block, influence: 1 - mean };
  });
  const { warnings } = await apply(model, "prune-blocks", { ratio: 0.34 }, env);
  const told =
    warnings
      .join()
      .match(/0\.\d+/g)
      ?.map(Number) ?? [];
  const sorted = expected.map(({ influence }) => influence).sort((a, b) => a - b);
  for (const [i, influence] of sorted.entries()) expect(told[i]).toBeCloseTo(influence, 2);
});

test("blocks of which a layer is left out stay", async () => {
  const { model } = await apply(net(0), "prune-blocks", { ratio: 0.5, except: ["layer8"] }, env);
  expect(weightsOf(model).map(({ node }) => node.name)).toContain("layer8");
});

test("what stands for blocks gives nearly what they gave, where they were nearly linear", async () => {
  // y + A tanh(B y) twice in a row, with small B: tanh(z) ~ z.
  const model = layerModel(["N", 6], (g, input) => {
    let y = dense(g, input, 1);
    for (let i = 0; i < 2; i++) y = g.Add(y, dense(g, g.Tanh(dense(g, y, 0.01)), 8));
    return dense(g, g.Relu(y), 1, 2);
  });
  // Records enough to set a half aside, and so to fit closely.
  const many = tensorDataset({ x: tensor("float32", [512, 6], numbers(512 * 6)) });
  const enough = environmentOf(nets[0], { calibration: many });
  const expected = await outputsOf(concat(writeModel(model)), { x });
  const errorOf = async (repair: string) => {
    const options = { ratio: 1, repair, records: 512 };
    const pruned = await apply(model, "prune-blocks", options, enough);
    const error = relativeError(expected, await outputsOf(pruned.bytes, { x }));
    return { error, layers: weightsOf(pruned.model).length };
  };
  const [none, fitted] = [await errorOf("none"), await errorOf("least-squares")];
  // The first and the last; and one for both blocks.
  expect([none.layers, fitted.layers]).toEqual([2, 3]);
  expect(none.error).toBeGreaterThan(0.2);
  expect(fitted.error).toBeLessThan(0.05);
});

test("neighbours that go leave together, whichever is the weaker", async () => {
  for (const scales of [
    [0.01, 0.02, 1],
    [0.02, 0.01, 1],
  ]) {
    const model = layerModel(["N", 6], (g, input) => {
      let y = dense(g, input, 1);
      for (const scale of scales) y = g.Add(y, dense(g, g.Relu(dense(g, y, 0.5)), scale));
      return dense(g, y, 1, 2);
    });
    const { model: pruned } = await apply(
      model,
      "prune-blocks",
      { ratio: 0.67, repair: "none" },
      env,
    );
    const names = weightsOf(model).map(({ node }) => node.name);
    const left = weightsOf(pruned).map(({ node }) => node.name);
    expect(left).toEqual([names[0], ...names.slice(5)]);
  }
});

test.each([
  ["Neg and Cast", -1],
  ["Cast", 1],
])("in half precision blocks go, and nothing stands for them: %s follows", async (_, sign) => {
  const half = (g: Builder, y: Value, scale: number) =>
    g.MatMul(y, g.Cast(g.constant(numbers(36, scale), { shape: [6, 6] }), { to: 10 }));
  const model = layerModel(["N", 6], (g, input) => {
    const y = g.Cast(input, { to: 10 });
    const sum = g.Add(y, half(g, g.Relu(half(g, y, 0.5)), 0.1));
    return g.Cast(sign < 0 ? g.Neg(sum) : sum, { to: 1 });
  });
  const { bytes } = await apply(model, "prune-blocks", { ratio: 1 }, env);
  const [output] = Object.values(await outputsOf(bytes, { x }));
  const expected = tensor(
    "float32",
    x.shape,
    x.floats().map((v) => sign * v),
  );
  expect(relativeError({ y: expected }, { y: output })).toBeLessThan(1e-3);
});

test("among convolutions a 1x1 Conv stands", async () => {
  const conv = nets.find(({ name }) => name === "conv") as (typeof nets)[number];
  const { model, bytes } = await apply(
    conv.model,
    "prune-blocks",
    { ratio: 1 },
    environmentOf(conv),
  );
  const stands = weightsOf(model).filter(({ value }) => value.shape?.slice(2).join() === "1,1");
  expect(stands.map(({ node }) => node.op)).toEqual(["Conv"]);
  await outputsOf(bytes, conv.feeds(2));
});
