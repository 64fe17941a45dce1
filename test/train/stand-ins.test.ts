/** @file Quantized back-propagation: gradients of weights from inputs rounded to powers of two. */
import { describe, expect, test } from "vitest";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { createModel } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { powersOfTwo } from "../../src/learned/straight-through.ts";
import type { MethodId } from "../../src/methods/index.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { inferNode } from "../../src/ops/infer.ts";
import { backward } from "../../src/train/backward.ts";
import { stepOf } from "../../src/train/step.ts";
import { open } from "../../src/weights/latent.ts";
import { hooksOf } from "../methods/latents.ts";
import { layerModel } from "../support/layer.ts";

const random = createRandom(17);
const normal = (length: number) => Float32Array.from({ length }, () => random.normal());
const powerOf = (x: number): number =>
  x === 0 ? 0 : Math.sign(x) * 2 ** Math.round(Math.log2(Math.abs(x)));

/** dE/dW and dE/dx of y = draw(x, W) for dE/dy = slopes, with the stand-in for x. */
function gradientsOf(
  draw: (g: Builder, x: Value, w: Value) => Value,
  x: { shape: number[]; values: Float32Array },
  w: { shape: number[]; values: Float32Array },
  slopes: { shape: number[]; values: Float32Array },
) {
  const graph = new Graph("g");
  const g = build(graph, "", inferNode);
  const [own, weight] = [
    graph.addInput("x", "float32", x.shape),
    graph.addInput("w", "float32", w.shape),
  ];
  const y = draw(g, own, weight);
  const loss = g.ReduceSum(g.Mul(y, g.constant(slopes.values, { shape: slopes.shape })), null, {
    keepdims: 0,
  });
  const standIns = new Map([[weight, powersOfTwo]]);
  const found = backward(createModel(graph, 21), loss, [weight, own], { standIns });
  const outputs = [weight, own].map((value) => found.get(value) as Value);
  for (const [i, output] of outputs.entries()) output.name = `d${i}`;
  graph.setOutputs(outputs);
  const result = evaluateGraph(graph, {
    x: tensor("float32", x.shape, x.values),
    w: tensor("float32", w.shape, w.values),
  });
  return outputs.map(({ name }) => result[name].floats());
}

describe("sign(x) 2^round(log2 |x|) in the gradient of W alone", () => {
  test("a product", () => {
    const x = { shape: [5, 3], values: normal(15).with(4, 0) };
    const w = { shape: [3, 4], values: normal(12) };
    const slopes = { shape: [5, 4], values: normal(20) };
    const [dw, dx] = gradientsOf((g, a, b) => g.MatMul(a, b), x, w, slopes);
    for (let i = 0; i < 3; i++) {
      for (let j = 0; j < 4; j++) {
        let sum = 0;
        for (let n = 0; n < 5; n++) sum += powerOf(x.values[n * 3 + i]) * slopes.values[n * 4 + j];
        expect(dw[i * 4 + j]).toBeCloseTo(sum, 4);
      }
    }
    for (let n = 0; n < 5; n++) {
      for (let i = 0; i < 3; i++) {
        let sum = 0;
        for (let j = 0; j < 4; j++) sum += w.values[i * 4 + j] * slopes.values[n * 4 + j];
        expect(dx[n * 3 + i]).toBeCloseTo(sum, 4);
      }
    }
  });

  test("a convolution", () => {
    const x = { shape: [1, 1, 5], values: normal(5) };
    const w = { shape: [1, 1, 3], values: normal(3) };
    const slopes = { shape: [1, 1, 3], values: normal(3) };
    const [dw, dx] = gradientsOf((g, a, b) => g.Conv(a, b), x, w, slopes);
    for (let k = 0; k < 3; k++) {
      const sum = [0, 1, 2].reduce((s, at) => s + powerOf(x.values[at + k]) * slopes.values[at], 0);
      expect(dw[k]).toBeCloseTo(sum, 4);
    }
    for (let at = 0; at < 5; at++) {
      let sum = 0;
      for (let k = 0; k < 3; k++) sum += w.values[k] * (slopes.values[at - k] ?? 0);
      expect(dx[at]).toBeCloseTo(sum, 4);
    }
  });
});

test("in a step of training, for the opened weight alone", () => {
  const [first, second] = [normal(6), normal(4)];
  const model = layerModel(["N", 3], (g, x) =>
    g.MatMul(
      g.MatMul(x, g.constant(first, { shape: [3, 2], name: "first" })),
      g.constant(second, { shape: [2, 2], name: "second" }),
    ),
  );
  const [node, last] = model.graph.sorted();
  const value = node.inputs[1] as Value;
  const latent = { latent: { start: first, shape: [3, 2] } };
  const opened = open(
    { node, value },
    { theta: latent, build: (g, { latent: u }) => g.Identity(u), close: () => null as never },
  );
  const x = normal(6);
  const gradientOf = (seenAs: boolean): Float32Array => {
    const step = stepOf(model, {
      ...{ shapes: { x: [2, 3] }, feeds: {}, batchStatistics: false },
      learns: [{ value: last.inputs[1], node: last, role: null } as never],
      latents: [seenAs ? { ...opened, seenAs: powersOfTwo } : opened],
      loss: (g, { outputs }) => g.ReduceSum(outputs[0], null, { keepdims: 0 }),
    });
    const parameters = Float32Array.from(
      step.parameters.flatMap(({ kind }) => [...(kind === "theta" ? first : second)]),
    );
    const found = evaluateGraph(step.model.graph, {
      x: tensor("float32", [2, 3], x),
      tersor_parameters: tensor("float32", [10], parameters),
    });
    const flat = found.tersor_gradient.floats();
    return step.parameters[0].kind === "theta" ? flat : flat.slice(4);
  };
  for (const seenAs of [false, true]) {
    const found = gradientOf(seenAs);
    for (let i = 0; i < 3; i++) {
      for (let j = 0; j < 2; j++) {
        const read = [0, 1].reduce(
          (sum, n) => sum + (seenAs ? powerOf(x[n * 3 + i]) : x[n * 3 + i]),
          0,
        );
        expect(found[i * 2 + j]).toBeCloseTo(read * (second[j * 2] + second[j * 2 + 1]), 4);
      }
    }
  }
});

test.each(["binarize-connect", "ternarize-connect"] as const)("%s offers it", async (id) => {
  const seen = async (
    given: object,
    ends: object = id === "ternarize-connect" ? { ends: 1 } : {},
  ) => (await hooksOf(id as MethodId, { ...given, ...ends })).latents![0].seenAs;
  expect(await seen({ gradients: "powers-of-two" })).toBe(powersOfTwo);
  expect(await seen({})).toBeUndefined();
});
