/** @file Opens the weight of one layer as a method does, and differentiates what it is opened as. */
import type { Context, Observe, TrainHooks } from "../../src/context.ts";
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

export const [rows, columns] = [8, 16];
export const size = rows * columns;
export const random = createRandom(9);
export const weights = Float32Array.from({ length: size }, () => random.normal());
const layer = layerModel(["N", rows], (g, x) =>
  g.MatMul(x, g.constant(weights, { shape: [rows, columns] })),
);

/** The latent that the method opens the layer's weight as. */
export async function latentOf(
  id: MethodId,
  given: Readonly<Record<string, unknown>>,
): Promise<Latent> {
  return (await hooksOf(id, given)).latents![0].latent;
}

/** What the method adds to its run of training. */
export async function hooksOf(
  id: MethodId,
  given: Readonly<Record<string, unknown>>,
  /** What the layer reads in calibration, a multiple of `rows` numbers. */
  inputs = new Float32Array(rows),
): Promise<TrainHooks> {
  const method = methodOf(id) as Method;
  const model = cloneModel(layer);
  inferModel(model);
  let found: TrainHooks = {};
  const context = {
    skip() {},
    note() {},
    warn() {},
    async progress() {},
    original: layer,
    observe: observeOf(inputs),
    async train(_: unknown, __: unknown, hooks: TrainHooks) {
      found = hooks;
    },
  };
  await method.apply(model, parseOptions(method.options, given, id), context as unknown as Context);
  return found;
}

/** Hands over what the taps make of the layer's inputs, as one batch. */
const observeOf =
  (inputs: Float32Array): Observe =>
  async (_, taps, collect) => {
    const records = inputs.length / rows;
    const x = tensor("float32", [records, rows], inputs);
    for (const tap of taps) {
      const graph = new Graph("tap");
      const value = graph.addInput("x", "float32", [records, rows]);
      const y = tap.of ? tap.of(build(graph, "", inferNode), value) : value;
      y.name = tap.of ? "y" : y.name;
      if (tap.of) graph.setOutputs([y]);
      const found = tap.of ? evaluateGraph(graph, { x }).y : x;
      collect(tap, found, { records, share: 1 });
    }
  };

/** W and dE/d theta for dE/dW = slopes, at these thetas. */
export function differentiate(
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
  const noises = Object.entries(feeds).map(
    ([name, { length }]) =>
      [name, graph.addInput(name, "float32", length === 1 ? [] : shape)] as const,
  );
  const w = latent.build(g, Object.fromEntries(places), x, Object.fromEntries(noises));
  const loss = g.ReduceSum(g.Mul(w, g.constant(slopes, { shape })), null, { keepdims: 0 });
  const { penalty } = latent;
  const total = penalty
    ? g.Add(loss, penalty(g, Object.fromEntries(places), Object.fromEntries(noises)))
    : loss;
  graph.setOutputs([w, total]);
  const wanted = [...places.map(([, value]) => value), x].filter((value) => value.uses.size > 0);
  const gradients = backward(createModel(graph, 21), total, wanted);
  const outputs = [w, ...gradients.values()];
  for (const [i, output] of [...new Set(outputs)].entries()) output.name = `output${i}`;
  graph.setOutputs(outputs);
  const values: Record<string, Float32Array> = { ...thetas, ...feeds };
  const inputs = graph.inputs.map(
    ({ name, shape }) => [name, tensor("float32", shape as number[], values[name])] as const,
  );
  const computed = evaluateGraph(graph, Object.fromEntries(inputs));
  const [own, ...slopesOf] = outputs.map(({ name }) => computed[name].floats());
  const found = wanted.map(({ name }, i) => [name, slopesOf[i]] as const);
  return { w: own, gradients: Object.fromEntries(found) };
}

export const slopes = Float32Array.from({ length: size }, () => random.normal());
