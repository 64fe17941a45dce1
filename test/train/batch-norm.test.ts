import { describe, expect, test } from "vitest";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { cloneModel, createModel, type Model } from "../../src/ir/model.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { build } from "../../src/ops/builder.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { backward } from "../../src/train/backward.ts";
import { toTrainingMode, updateRunning } from "../../src/train/batch-norm.ts";
import { expectClose, runOrt } from "./gradients.ts";

const [batch, channels, side] = [4, 3, 5];

/**
 * Five normalizations that a careless engine could mistake for one another: two of one x with the
 * same scale, bias and statistics (as shared initializers), then three in a row.
 */
function network(dtype: "float32" | "float64", size: number | "N" = batch) {
  const graph = new Graph("norms");
  const x = graph.addInput("x", dtype, [size, channels, side, side]);
  const g = build(graph);
  const vector = (values: number[]): Value => g.constant(values, { dtype });
  const [scale, bias] = [vector([1, -0.5, 2]), vector([0.1, 0, -1])];
  const [mean, variance] = [vector([0, 0, 0]), vector([1, 1, 1])];
  const norm = (of: Value): Value => g.BatchNormalization(of, scale, bias, mean, variance);
  let y = g.Add(norm(x), g.Mul(norm(x), x));
  for (let i = 0; i < 3; i++) y = g.Add(g.Relu(norm(y)), x);
  graph.setOutputs([g.ReduceMean(g.Mul(y, y), { keepdims: 0 })]);
  return { model: createModel(graph, 21), x, scale, bias, mean, variance };
}

function inputOf(dtype: "float32" | "float64"): Tensor {
  const random = createRandom(4);
  const size = batch * channels * side * side;
  const values = Array.from({ length: size }, (_, i) =>
    Math.fround(random.float() * (1 + (i % 7)) + 0.5),
  );
  return tensor(dtype, [batch, channels, side, side], values);
}

function trainingStep(dtype: "float32" | "float64", size: number | "N", statistics: boolean) {
  const made = network(dtype, size);
  const layers = toTrainingMode(made.model);
  const { graph } = made.model;
  const [loss] = graph.outputs;
  const gradients = backward(made.model, loss, [made.x, made.scale, made.bias]);
  const moments = layers.flatMap(({ mean, variance }) => [mean, variance]);
  graph.setOutputs([loss, ...gradients.values(), ...(statistics ? moments : [])]);
  for (const [i, output] of graph.outputs.entries()) output.name = `output${i}`;
  return { ...made, layers };
}

/** Mean and biased variance of each channel, in two passes. */
function moments(x: Tensor): { mean: number[]; variance: number[] } {
  const values = x.numbers();
  const plane = side * side;
  const of = (c: number): number[] =>
    Array.from(values).filter((_, i) => Math.floor(i / plane) % channels === c);
  const mean = (all: number[]): number => all.reduce((a, b) => a + b, 0) / all.length;
  const groups = [0, 1, 2].map(of);
  return {
    mean: groups.map(mean),
    variance: groups.map((all) => mean(all.map((u) => (u - mean(all)) ** 2))),
  };
}

const run = async (model: Model, feeds: Record<string, Tensor>) =>
  Object.values(await runOrt(cloneModel(model), feeds));

describe.each([batch, "N"] as const)("batch %s", (size) => {
  test("the engine agrees with the reference", async () => {
    const { model, layers } = trainingStep("float32", size, true);
    expect(layers.map(({ count }) => count)).toEqual(
      Array(5).fill(size === "N" ? null : batch * side * side),
    );
    const double = trainingStep("float64", size, true);
    const exact = Object.values(evaluateGraph(double.model.graph, { x: inputOf("float64") }));
    const x = inputOf("float32");
    const found = await run(model, { x });
    expect(found.length).toBe(4 + 2 * 5);
    for (const [i, values] of found.entries()) {
      expectClose(values, exact[i].numbers(), 2e-5, `output ${i}`);
    }
    // The first two normalize the input itself.
    const { mean, variance } = moments(x);
    for (const i of [4, 6]) {
      expectClose(found[i], mean, 1e-6, "mean");
      expectClose(found[i + 1], variance, 1e-5, "variance");
    }
  });

  test("the same where statistics stay inside: nothing shares their buffers", async () => {
    const feeds = { x: inputOf("float32") };
    const all = await run(trainingStep("float32", size, true).model, feeds);
    const inside = await run(trainingStep("float32", size, false).model, feeds);
    expect(inside).toEqual(all.slice(0, 4));
  });
});

test("only what was chosen, with its constants and momentum", () => {
  const { model, mean, variance } = network("float32");
  const [first] = model.graph.nodes;
  const layers = toTrainingMode(model, (node) => node === first);
  expect(layers.length).toBe(1);
  expect(layers[0].runningMean).toBe(mean);
  expect(layers[0].runningVariance).toBe(variance);
  expect(layers[0].momentum).toBe(0.9);
  const modes = [...model.graph.nodes]
    .filter(({ op }) => op === "BatchNormalization")
    .map((node) => node.int("training_mode", 0));
  expect(modes.toSorted()).toEqual([0, 0, 0, 0, 1]);
});

test("running statistics by hand", () => {
  const running = { mean: Float32Array.of(1, 2), variance: Float32Array.of(1, 4) };
  updateRunning(running, { mean: [3, 0], variance: [2, 8] }, { momentum: 0.75, count: 5 });
  expect([...running.mean]).toEqual([0.75 + 0.75, 1.5]);
  expect([...running.variance]).toEqual([0.75 + 0.25 * 2.5, 3 + 0.25 * 10]);
});
