/** @file The gradients of weights that methods open for training, against the papers' equations. */
import { describe, expect, test } from "vitest";
import type { Context, TrainHooks } from "../../src/context.ts";
import { Graph } from "../../src/ir/graph.ts";
import { cloneModel, createModel } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { type MethodId, methodOf } from "../../src/methods/index.ts";
import type { Method } from "../../src/methods/method.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { build } from "../../src/ops/builder.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { inferModel, inferNode } from "../../src/ops/infer.ts";
import { parseOptions } from "../../src/options.ts";
import { backward } from "../../src/train/backward.ts";
import type { Latent } from "../../src/weights/latent.ts";
import { layerModel } from "../support/layer.ts";

const [rows, columns] = [8, 16];
const size = rows * columns;
const random = createRandom(9);
const weights = Float32Array.from({ length: size }, () => random.normal());
const layer = layerModel(["N", rows], (g, x) =>
  g.MatMul(x, g.constant(weights, { shape: [rows, columns] })),
);

/** The latent that the method opens the layer's weight as. */
async function latentOf(id: MethodId, given: Readonly<Record<string, unknown>>): Promise<Latent> {
  const method = methodOf(id) as Method;
  const model = cloneModel(layer);
  inferModel(model);
  let found: TrainHooks = {};
  const context = {
    skip() {},
    async train(_: unknown, __: unknown, hooks: TrainHooks) {
      found = hooks;
    },
  };
  await method.apply(model, parseOptions(method.options, given, id), context as unknown as Context);
  return found.latents![0].latent;
}

/** W and dE/d theta for dE/dW = slopes, at these thetas. */
function differentiate(
  latent: Latent,
  thetas: Readonly<Record<string, Float32Array>>,
  slopes: Float32Array,
  feeds: Readonly<Record<string, Float32Array>> = {},
) {
  const graph = new Graph("latent");
  const g = build(graph, "", inferNode);
  const shape = [rows, columns];
  const places = Object.entries(latent.theta).map(
    ([name, own]) => [name, graph.addInput(name, "float32", own.shape)] as const,
  );
  const x = graph.addInput("x", "float32", shape);
  const noises = Object.keys(feeds).map(
    (name) => [name, graph.addInput(name, "float32", shape)] as const,
  );
  const w = latent.build(g, Object.fromEntries(places), x, Object.fromEntries(noises));
  const loss = g.ReduceSum(g.Mul(w, g.constant(slopes, { shape })), null, { keepdims: 0 });
  graph.setOutputs([w, loss]);
  const wanted = [...places.map(([, value]) => value), x].filter((value) => value.uses.size > 0);
  const gradients = backward(createModel(graph, 21), loss, wanted);
  graph.setOutputs([w, ...gradients.values()]);
  const values: Record<string, Float32Array> = { ...thetas, ...feeds };
  const inputs = graph.inputs.map(
    ({ name, shape }) => [name, tensor("float32", shape as number[], values[name])] as const,
  );
  const outputs = Object.values(evaluateGraph(graph, Object.fromEntries(inputs)));
  const found = wanted.map(({ name }, i) => [name, outputs[i + 1].floats()] as const);
  return { w: outputs[0].floats(), gradients: Object.fromEntries(found) };
}

const slopes = Float32Array.from({ length: size }, () => random.normal());

describe("binarize-connect: dE/du = H dE/dW for every weight, whatever was drawn (algorithm 1)", () => {
  const mean = weights.reduce((sum, w) => sum + Math.abs(w), 0) / size;
  // u from -1 to 1, its ends included.
  const u = Float32Array.from({ length: size }, (_, i) => (2 * i) / (size - 1) - 1);

  test("deterministic", async () => {
    const latent = await latentOf("binarize-connect", {});
    const { w, gradients } = differentiate(latent, { latent: u, x: weights }, slopes);
    for (let i = 0; i < size; i++) {
      expect(w[i]).toBeCloseTo(u[i] > 0 ? mean : -mean, 5);
      expect(gradients.latent[i]).toBeCloseTo(mean * slopes[i], 5);
    }
  });

  test("stochastic", async () => {
    const latent = await latentOf("binarize-connect", { rounding: "stochastic" });
    // The noise goes through [-1/2, 1/2], its ends included.
    const noise = Float32Array.from(
      { length: size },
      (_, i) => ((7 * i) % size) / (size - 1) - 0.5,
    );
    const { w, gradients } = differentiate(latent, { latent: u, x: weights }, slopes, { noise });
    for (let i = 0; i < size; i++) {
      expect(Math.abs(w[i])).toBeCloseTo(mean, 5);
      const share = (u[i] + 1) / 2 + noise[i];
      if (Math.abs(share - 0.5) > 1e-6) expect(w[i] > 0).toBe(share > 0.5);
      expect(gradients.latent[i]).toBeCloseTo(mean * slopes[i], 5);
    }
  });
});

test("quantize-lsq: the step's gradient is that of equation 3, the weight's that of equation 5", async () => {
  const latent = await latentOf("quantize-lsq", { bits: 3, ends: 3, activations: 0 });
  const [{ start }] = Object.values(latent.theta);
  const step = Float32Array.of(start[0] / 2);
  const top = 3;
  const found = differentiate(latent, { step, x: weights }, slopes);
  let expected = 0;
  for (let i = 0; i < size; i++) {
    const v = weights[i] / step[0];
    const isInside = Math.abs(v) < top;
    const level = Math.max(-top, Math.min(top, Math.round(v)));
    expect(found.w[i]).toBeCloseTo(level * step[0], 5);
    expect(found.gradients.x[i]).toBeCloseTo(isInside ? slopes[i] : 0, 5);
    expected += slopes[i] * (isInside ? Math.round(v) - v : Math.sign(v) * top);
  }
  expect(weights.some((w) => Math.abs(w / step[0]) > top)).toBe(true);
  expect(found.gradients.step[0]).toBeCloseTo(expected, 4);
});

test("prune-surgery: a masked weight is 0 and gets the gradient as if it were not (equation 4)", async () => {
  const latent = await latentOf("prune-surgery", {});
  const gone = weights.map((_, i) => Number(i % 3 === 0));
  const { w, gradients } = differentiate(latent, { weight: weights, gone, x: weights }, slopes);
  for (let i = 0; i < size; i++) {
    expect(w[i]).toBeCloseTo(gone[i] ? 0 : weights[i], 6);
    expect(gradients.weight[i]).toBeCloseTo(slopes[i], 6);
  }
});

test("train-rate: levels get s dE/dW through the rounding, the step the sum over its levels", async () => {
  const latent = await latentOf("train-rate", {});
  const levels = Float32Array.from({ length: size }, () => 3 * random.normal());
  const scale = Float32Array.of(0.3);
  const { w, gradients } = differentiate(latent, { levels, scale, x: weights }, slopes);
  let expected = 0;
  for (let i = 0; i < size; i++) {
    expect(w[i]).toBeCloseTo(0.3 * Math.round(levels[i]), 5);
    expect(gradients.levels[i]).toBeCloseTo(0.3 * slopes[i], 5);
    expected += Math.round(levels[i]) * slopes[i];
  }
  expect(gradients.scale[0]).toBeCloseTo(expected, 4);
});
