/** @file What a student learns where there are no labels, no classes, or several outputs: one step. */
import { expect, test } from "vitest";
import { Graph } from "../../src/ir/graph.ts";
import { cloneModel, createModel, type Model } from "../../src/ir/model.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { build } from "../../src/ops/builder.ts";
import { inferModel, inferNode } from "../../src/ops/infer.ts";
import { trainModel } from "../../src/recipe/train.ts";
import { trainOptions } from "../../src/train/options.ts";
import { environmentOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { nets } from "../support/nets.ts";

const [records, features, width] = [6, 4, 3];
const random = createRandom(3);
const normal = (count: number) => Float32Array.from({ length: count }, () => random.normal());
const x = normal(records * features);
/** Two heads, "scores" and "boxes", of the student and of the teacher. */
const own = [normal(features * width), normal(features * width)];
const guide = [normal(features * width), normal(features * width)];

/** x [N, 4] -> x W for each head, [N, 3]. */
function heads(weights: readonly Float32Array[], input = "x"): Model {
  const graph = new Graph("heads");
  const value = graph.addInput(input, "float32", ["N", features]);
  const g = build(graph, "layer", inferNode);
  const outputs = weights.map((w) => g.MatMul(value, g.constant(w, { shape: [features, width] })));
  graph.setOutputs(outputs);
  for (const [i, output] of outputs.entries()) {
    output.name = ["scores", "boxes"][i];
    output.producer!.name = output.name;
  }
  const model = createModel(graph, 21);
  inferModel(model);
  return model;
}

/** The weights of all heads after one step of gradient descent at rate 0.1. */
async function stepped(
  heading: readonly [Model, Model],
  given: object,
  label: Tensor | null = null,
) {
  const [start, teacher] = heading;
  const model = cloneModel(start);
  const training = tensorDataset({ x: tensor("float32", [records, features], x) }, label);
  const options = trainOptions.parse({
    ...{ optimizer: "sgd", momentum: 0, rate: 0.1, schedule: "constant", holdout: 0 },
    ...{ batch: records, steps: 1, ...given },
  });
  const env = environmentOf(nets[0], { training, teacher });
  await trainModel(model, options, {}, env, { label: "1 train", original: start });
  return [...model.graph.nodes].map(({ inputs }) => inputs[1]!.tensor!.floats());
}

const outputs = (w: Float32Array, row: number): number[] =>
  Array.from({ length: width }, (_, c) => {
    let sum = 0;
    for (let d = 0; d < features; d++) sum += x[row * features + d] * w[d * width + c];
    return sum;
  });

/** W - 0.1 sum over records of x (slope of the loss by that record's outputs). */
function descended(w: Float32Array, slopes: (row: number) => readonly number[]): number[] {
  return Array.from(w, (value, i) => {
    const [d, c] = [Math.floor(i / width), i % width];
    let slope = 0;
    for (let row = 0; row < records; row++) slope += x[row * features + d] * slopes(row)[c];
    return value - 0.1 * slope;
  });
}

const softmax = (z: readonly number[]): number[] => {
  const powers = z.map((one) => Math.exp(one));
  return powers.map((power) => power / powers.reduce((a, b) => a + b));
};

function expectNear(found: Float32Array, wanted: readonly number[]): void {
  for (const [i, want] of wanted.entries()) expect(found[i]).toBeCloseTo(want, 5);
}

const single = [heads([own[0]]), heads([guide[0]])] as const;

test("without labels: the teacher's softened probabilities", async () => {
  const [T, alpha] = [2, 0.3];
  const [found] = await stepped(single, { loss: "auto", temperature: T, alpha });
  // d/ds T^2 KL(t / T, s / T) = T (q - p), whatever alpha is: there are no labels to share with.
  const wanted = descended(own[0], (row) => {
    const soft = (w: Float32Array) => softmax(outputs(w, row).map((z) => z / T));
    const [q, p] = [soft(own[0]), soft(guide[0])];
    return q.map((share, c) => (T * (share - p[c])) / records);
  });
  expectNear(found, wanted);
});

test("targets that are no classes: the teacher's outputs, and not the labels", async () => {
  const label = tensor("float32", [records, width], normal(records * width));
  const [found] = await stepped(single, { loss: "auto" }, label);
  const wanted = descended(own[0], (row) => {
    const [s, t] = [outputs(own[0], row), outputs(guide[0], row)];
    return s.map((value, c) => (2 * (value - t[c])) / (records * width));
  });
  expectNear(found, wanted);
});

test("a detector's heads: all that are named as hints, by the share of their squares", async () => {
  const both = [heads(own), heads(guide, "image")] as const;
  const given = { loss: "features", hints: ["scores", "boxes"] };
  const found = await stepped(both, given);
  for (const head of [0, 1]) {
    const rows = Array.from({ length: records }, (_, row) => outputs(guide[head], row));
    const energy = rows.flat().reduce((sum, t) => sum + t * t, 0);
    const wanted = descended(own[head], (row) =>
      outputs(own[head], row).map((s, c) => (s - rows[row][c]) / energy),
    );
    expectNear(found[head], wanted);
  }
});
