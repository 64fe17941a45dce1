/** @file Gradients of whole networks, and a network that learns by them. */
import { readFileSync } from "node:fs";
import * as ort from "onnxruntime-node";
import { beforeAll, describe, expect, test } from "vitest";
import { openData } from "../../src/data/open.ts";
import type { Value } from "../../src/ir/graph.ts";
import { cloneModel, type Model } from "../../src/ir/model.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { backward } from "../../src/train/backward.ts";
import { softmaxCrossEntropy } from "../../src/train/losses.ts";
import {
  type Case,
  checkCase,
  differences,
  expectClose,
  num,
  runOrt,
  someOf,
} from "./gradients.ts";

/** Running statistics get buffers of their own: the kernel writes into them. */
function batchNorm(g: Builder, x: Value, scale: Value, bias: Value): Value {
  const inputs = [x, scale, bias, g.Sub(bias, bias), g.Mul(scale, num(g, scale, 0))];
  const attributes = { training_mode: 1 };
  return g.many("BatchNormalization", inputs, { outputs: 3, attributes })[0];
}

const residual: Case = {
  shapes: [[4, 3, 8, 8], [6, 3, 3, 3], [6], [6], [6, 6, 3, 3], [6], [6], [6, 3, 1, 1], [3, 6], [3]],
  range: [-1, 1.2],
  make(g, [x, w1, s1, b1, w2, s2, b2, w3, w4, b4]) {
    const pads = [1, 1, 1, 1];
    const strides = [2, 2];
    const first = g.Relu(batchNorm(g, g.Conv(x, w1, { pads, strides }), s1, b1));
    const second = batchNorm(g, g.Conv(first, w2, { pads }), s2, b2);
    const y = g.Relu(g.Add(second, g.Conv(x, w3, { strides })));
    const logits = g.Gemm(g.Flatten(g.GlobalAveragePool(y)), w4, b4, { transB: 1 });
    return softmaxCrossEntropy(g, logits, g.constant([2, 0, 1, 1], { dtype: "int64" }));
  },
};

/** Pre-norm attention of two heads and a GELU layer, batch 2, 5 positions, width 8. */
const encoder: Case = {
  shapes: [[2, 5, 8], [8], [8], [8, 24], [24], [8, 8], [8], [8], [8, 12], [12], [12, 8]],
  range: [-0.9, 1],
  make(g, [x, s1, b1, wQkv, bQkv, wO, s2, b2, w1, c1, w2]) {
    const normal = g.LayerNormalization(x, s1, b1);
    const qkv = g.Add(g.MatMul(normal, wQkv), bQkv);
    const [q, k, v] = g
      .many("Split", [qkv, g.ints([8, 8, 8])], { outputs: 3, attributes: { axis: -1 } })
      .map((part) => {
        const heads = g.Reshape(part, g.ints([0, 0, 2, 4]));
        return g.Transpose(heads, { perm: [0, 2, 1, 3] });
      });
    const scores = g.Mul(g.MatMul(q, g.Transpose(k, { perm: [0, 1, 3, 2] })), num(g, x, 0.5));
    const mixed = g.Transpose(g.MatMul(g.Softmax(scores), v), { perm: [0, 2, 1, 3] });
    const attended = g.Add(x, g.MatMul(g.Reshape(mixed, g.ints([0, 0, -1])), wO));
    const inner = g.Gelu(g.Add(g.MatMul(g.LayerNormalization(attended, s2, b2), w1), c1));
    return g.Add(attended, g.MatMul(inner, w2));
  },
};

describe("gradients of networks, three ways", () => {
  test("a residual block with batch norm", () => checkCase(residual));
  test("an encoder block", () => checkCase(encoder));
  test("an encoder block, the batch open", () => checkCase({ ...encoder, isOpen: true }));
});

interface Step {
  readonly model: Model;
  readonly weights: readonly Value[];
}

/** LeNet-5 with a label input, its loss and gradients as outputs, and parameters as inputs. */
function lenetStep(batch: number | "N", dtype: "float32" | "float64"): Step {
  const bytes = readFileSync(new URL("../../examples/lenet5.onnx", import.meta.url));
  const model = readModel(bytes);
  const { graph } = model;
  const [input] = graph.inputs;
  input.dtype = dtype;
  input.shape = [batch, 1, 28, 28];
  const weights = [...graph.constants].filter((value) => value.dtype === "float32");
  for (const value of weights) {
    if (dtype === "float64") graph.setConstant(value, toDouble(value.tensor as Tensor));
    else value.dtype = dtype;
  }
  for (const value of graph.nodes) for (const output of value.outputs) output.dtype = null;
  const label = graph.addInput("label", "int64", [batch]);
  const [logits] = graph.outputs;
  const loss = softmaxCrossEntropy(build(graph, "loss"), logits, label);
  const gradients = backward(model, loss, weights);
  graph.setOutputs([loss, logits, ...gradients.values()]);
  loss.name = "loss";
  for (const [i, gradient] of [...gradients.values()].entries()) gradient.name = `d${i}`;
  for (const [i, value] of weights.entries()) {
    value.name = `w${i}`;
    graph.removeConstant(value);
    graph.inputs.push(value);
  }
  return { model, weights };
}

const toDouble = (x: Tensor): Tensor => tensor("float64", x.shape, Float64Array.from(x.numbers()));

const original = (): Tensor[] => {
  const bytes = readFileSync(new URL("../../examples/lenet5.onnx", import.meta.url));
  const { graph } = readModel(bytes);
  return [...graph.constants].flatMap(({ tensor: x }) => (x?.dtype === "float32" ? [x] : []));
};

const mnist = (part: string) =>
  openData(
    `mnist:${part}`,
    [{ name: "image", dtype: "float32", dims: ["N", 1, 28, 28] }],
    {},
    nodePlatform,
  );

async function read(part: string, from: number, count: number) {
  const data = await mnist(part);
  const { inputs, label } = await data.read(Array.from({ length: count }, (_, i) => from + i));
  const classes = Array.from((label as Tensor).numbers());
  return { input: inputs.image, label: tensor("int64", [count], classes), classes };
}

describe("LeNet-5 on MNIST", () => {
  test("its gradients agree with the reference's, and those with differences", async () => {
    const { input, label } = await read("train", 0, 2);
    const named = (convert: (x: Tensor) => Tensor) =>
      Object.fromEntries(damaged().map((x, i) => [`w${i}`, convert(x)]));
    const engine = await runOrt(lenetStep(2, "float32").model, {
      image: input,
      label,
      ...named((x) => x),
    });
    const { model, weights } = lenetStep(2, "float64");
    const feeds = { image: toDouble(input), label, ...named(toDouble) };
    const reference = evaluateGraph(model.graph, feeds);
    const forward = cloneModel(model);
    forward.graph.setOutputs([forward.graph.outputs[0]]);
    for (const node of forward.graph.sorted().toReversed()) {
      if (node.outputs.every(({ uses }) => uses.size === 0)) forward.graph.remove(node);
    }
    const random = createRandom(2);
    for (const i of weights.keys()) {
      const exact = reference[`d${i}`].numbers();
      expectClose(engine[`d${i}`], exact, 1e-5, `d${i}`);
      const at = someOf(exact.length, 2, random);
      const slopes = differences(forward.graph, feeds, `w${i}`, at);
      expectClose(
        at.map((k) => exact[k]),
        slopes,
        1e-6,
        `d${i} at ${at}`,
      );
    }
  });

  describe("30 steps of plain SGD after damage", () => {
    let before: Scores;
    let after: Scores;
    const losses: number[] = [];

    beforeAll(async () => {
      const session = await ort.InferenceSession.create(
        concat(writeModel(lenetStep("N", "float32").model)),
        { logSeverityLevel: 3, intraOpNumThreads: 1, graphOptimizationLevel: "basic" },
      );
      const weights = damaged().map((x) => Float32Array.from(x.numbers()));
      const shapes = damaged().map(({ shape }) => shape);
      const run = async (batch: Awaited<ReturnType<typeof read>>) => {
        const feeds: Record<string, ort.Tensor> = {
          image: new ort.Tensor("float32", batch.input.floats(), batch.input.shape),
          label: new ort.Tensor("int64", BigInt64Array.from(batch.classes, BigInt)),
        };
        for (const [i, w] of weights.entries()) feeds[`w${i}`] = new ort.Tensor(w, shapes[i]);
        return session.run(feeds);
      };
      const held = await read("test", 0, 300);
      const score = async (): Promise<Scores> => {
        const { loss, logits } = await run(held);
        return {
          loss: (loss.data as Float32Array)[0],
          accuracy: accuracyOf(logits.data as Float32Array, held.classes),
        };
      };
      before = await score();
      for (let step = 0; step < 30; step++) {
        const results = await run(await read("train", 32 * step, 32));
        losses.push((results.loss.data as Float32Array)[0]);
        for (const [i, w] of weights.entries()) {
          const gradient = results[`d${i}`].data as Float32Array;
          for (let k = 0; k < w.length; k++) w[k] -= 0.05 * gradient[k];
        }
      }
      after = await score();
      await session.release();
    });

    test("the loss falls, on other images too", () => {
      const mean = (part: number[]): number => part.reduce((a, b) => a + b, 0) / part.length;
      expect(mean(losses.slice(-5))).toBeLessThan(0.5 * mean(losses.slice(0, 5)));
      expect(after.loss).toBeLessThan(0.5 * before.loss);
    });

    test("it recognizes what it had forgotten", () => {
      expect(before.accuracy).toBeLessThan(0.5);
      expect(after.accuracy).toBeGreaterThan(0.8);
    });
  });
});

interface Scores {
  readonly loss: number;
  readonly accuracy: number;
}

function accuracyOf(logits: Float32Array, labels: readonly number[]): number {
  const hits = labels.filter((label, i) => {
    const row = [...logits.subarray(10 * i, 10 * i + 10)];
    return row.indexOf(Math.max(...row)) === label;
  });
  return hits.length / labels.length;
}

/** LeNet-5's weights with the classifier forgotten and the rest disturbed. */
function damaged(): Tensor[] {
  const random = createRandom(9);
  return original().map((x) => {
    const values = Array.from(x.numbers());
    const size = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const noise = (): number => 0.1 * size * (random.float() * 2 - 1);
    return tensor(
      "float32",
      x.shape,
      values.map((value) => (x.shape[0] === 10 ? noise() : value + noise())),
    );
  });
}
