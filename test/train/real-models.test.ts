/** @file Gradients of published models: every weight, against the slope of the float64 reference. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import type { Model } from "../../src/ir/model.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { readModel } from "../../src/onnx/read.ts";
import { build } from "../../src/ops/builder.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { bindDims, inferNode } from "../../src/ops/infer.ts";
import { backward } from "../../src/train/backward.ts";
import { assets } from "../support/assets.ts";
import { runOrt } from "./gradients.ts";

type Shapes = Readonly<Record<string, readonly number[]>>;

const models: Readonly<Record<string, Shapes>> = {
  mnist_cntk: { Input3: [1, 1, 28, 28] },
  kws_dscnn: { input: [1, 1, 49, 10] },
  sst2_transformer: { input_ids: [2, 7] },
  stories260k: { input_ids: [2, 9] },
  superres_x3_core: { y: [1, 1, 9, 7] },
};

/** The mean square of the first output, in this element type. */
function withLoss(
  bytes: Uint8Array,
  shapes: Shapes,
  double: boolean,
): { model: Model; loss: Value } {
  const model = bindDims(readModel(bytes), shapes);
  const { graph } = model;
  if (double) {
    for (const value of [...graph.constants]) {
      const { tensor: x } = value;
      if (x?.dtype === "float32") graph.setConstant(value, toDouble(x));
    }
    for (const node of graph.nodes) {
      if (node.op === "Cast" && node.int("to") === 1) node.set("to", { type: "int", value: 11 });
    }
  }
  const [output] = graph.outputs;
  const g = build(graph, "loss", inferNode);
  const loss = g.ReduceMean(g.Mul(output, output), { keepdims: 0 });
  graph.setOutputs([loss]);
  return { model, loss };
}

const toDouble = (x: Tensor): Tensor =>
  x.dtype === "float32" ? tensor("float64", x.shape, Float64Array.from(x.numbers())) : x;

/** Weights in the order of the file; shapes and other small constants left out. */
const weightsOf = ({ graph }: Model): Value[] =>
  [...graph.constants].filter(
    ({ dtype, tensor: x, uses }) => dtype?.startsWith("float") && (x?.size ?? 0) > 8 && uses.size,
  );

const norm = (values: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] ** 2;
  return Math.sqrt(sum);
};

describe.each(Object.entries(models))("%s", (name, shapes) => {
  const file = assets(`models/${name}.onnx`);

  test.skipIf(!file)("has the gradient that its loss rises by", async () => {
    const bytes = readFileSync(file as string);
    const random = createRandom(4);
    const single = withLoss(bytes, shapes, false);
    const feeds = Object.fromEntries(
      single.model.graph.inputs.map(({ name: input, dtype, shape }) => {
        const size = (shape as number[]).reduce((a, b) => a * b, 1);
        const value = () => (dtype === "int64" ? 3 + random.int(400) : random.float());
        const values = Array.from({ length: size }, value);
        return [input, tensor(dtype ?? "float32", shape as number[], values)];
      }),
    );
    const before = weightsOf(single.model);
    const gradients = backward(single.model, single.loss, before);
    single.model.graph.setOutputs([...gradients.values()]);
    for (const [i, value] of [...gradients.values()].entries()) value.name = `d${i}`;
    const results = await runOrt(single.model, feeds);

    const { model } = withLoss(bytes, shapes, true);
    const weights = weightsOf(model);
    expect(weights.length).toBe(before.length);
    const fed = Object.fromEntries(Object.entries(feeds).map(([k, x]) => [k, toDouble(x)]));
    // Every weight goes along its own gradient, about half of them uphill.
    for (const seed of [1, 2]) {
      const signs = createRandom(seed);
      let [expected, scale] = [0, 0];
      const moves = weights.map(({ tensor: x }, i) => {
        const gradient = results[`d${i}`];
        const [length, steepness] = [norm((x as Tensor).numbers()), norm(gradient)];
        expect(steepness, before[i].name).toBeGreaterThan(0);
        const sign = signs.float() < 0.5 ? -1 : 1;
        expected += sign * length * steepness;
        scale += length * steepness;
        return Float64Array.from(gradient, (v) => (sign * length * v) / steepness);
      });
      const lossAt = (step: number): number => {
        const original = weights.map(({ tensor: x }) => x as Tensor);
        for (const [i, value] of weights.entries()) {
          const moved = Float64Array.from(original[i].numbers(), (v, k) => v + step * moves[i][k]);
          model.graph.setConstant(value, tensor("float64", original[i].shape, moved));
        }
        const [loss] = Object.values(evaluateGraph(model.graph, fed));
        for (const [i, value] of weights.entries()) model.graph.setConstant(value, original[i]);
        return loss.numbers()[0];
      };
      const slope = (lossAt(1e-6) - lossAt(-1e-6)) / 2e-6;
      expect(Math.abs(slope - expected)).toBeLessThan(1e-4 * scale);
    }
  });
});
