/** @file What teachers teach: one model, several, or one with Dropout at work; by plain loops. */
import { describe, expect, test } from "vitest";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { createModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { inferModel, inferNode } from "../../src/ops/infer.ts";
import { ensemble } from "../../src/recipe/ensemble.ts";
import { hintsOf } from "../../src/recipe/hints.ts";
import type { Loaded } from "../../src/recipe/load.ts";
import { createTeacher, type Lesson, teacherBytes } from "../../src/recipe/teacher.ts";
import { runtime } from "../support/apply.ts";

const [rows, features, classes] = [3, 4, 5];
const random = createRandom(7);
const normal = (count: number) => Float32Array.from({ length: count }, () => random.normal());
const x = normal(rows * features);
const weights = [0, 1, 2].map(() => normal(features * classes));
const lesson: Lesson = { output: 0, hints: [], classes: null, draws: 0 };

function modelOf(draw: (g: Builder, x: Value) => Value, input = "x"): Model {
  const graph = new Graph("teacher");
  const value = graph.addInput(input, "float32", ["N", features]);
  graph.setOutputs([draw(build(graph, "layer", inferNode), value)]);
  graph.outputs[0].name = "y";
  return createModel(graph, 21);
}

const linear = (w: Float32Array, g: Builder, value: Value): Value =>
  g.MatMul(value, g.constant(w, { shape: [features, classes] }));

const loaded = (model: Model, name = "teacher.onnx"): Loaded => {
  inferModel(model);
  const bytes = concat(writeModel(model));
  return { name, model, source: { bytes }, bytes: 0, packed: null, opset: 21, hash: name };
};

async function taught(model: Model, asked: Lesson, input = x): Promise<Float32Array> {
  const session = await runtime.open({ bytes: teacherBytes(model, asked) });
  const count = input.length / features;
  const feeds = { x: tensor("float32", [count, features], input) };
  const indices = Array.from({ length: count }, (_, i) => i);
  const [scores] = await createTeacher([session], null).teach(indices, feeds, 0);
  await session.close();
  return scores.floats();
}

/** The scores z_k [classes] of each member for a row. */
const scoresOf = (row: number): number[][] =>
  weights.map((w) =>
    Array.from({ length: classes }, (_, c) => {
      let sum = 0;
      for (let d = 0; d < features; d++) sum += x[row * features + d] * w[d * classes + c];
      return sum;
    }),
  );

function softmax(z: readonly number[]): number[] {
  const powers = z.map((one) => Math.exp(one));
  const total = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / total);
}

describe("several teachers", () => {
  // One gives probabilities, one has an input of another name.
  const members = [
    modelOf((g, value) => linear(weights[0], g, value)),
    modelOf((g, value) => g.Softmax(linear(weights[1], g, value), { axis: -1 })),
    modelOf((g, value) => linear(weights[2], g, value), "image"),
  ];
  const all = ensemble(members.map((model, i) => loaded(model, `${i}.onnx`)));

  test("teach the logarithm of the mean of their probabilities", async () => {
    const { model, name } = await all;
    expect(name).toBe("0.onnx,1.onnx,2.onnx");
    const found = await taught(model, { ...lesson, classes });
    for (let row = 0; row < rows; row++) {
      const each = scoresOf(row).map(softmax);
      for (let c = 0; c < classes; c++) {
        const mean = (each[0][c] + each[1][c] + each[2][c]) / 3;
        expect(Math.exp(found[row * classes + c])).toBeCloseTo(mean, 5);
      }
    }
  });

  test("teach the mean of their outputs where these are no classes", async () => {
    const found = await taught((await all).model, lesson);
    for (let row = 0; row < rows; row++) {
      const each = scoresOf(row);
      for (let c = 0; c < classes; c++) {
        expect(found[row * classes + c]).toBeCloseTo((each[0][c] + each[1][c] + each[2][c]) / 3, 5);
      }
    }
  });

  test("have equally many inputs and outputs", async () => {
    const graph = new Graph("two");
    const value = graph.addInput("x", "float32", ["N", features]);
    const g = build(graph, "layer", inferNode);
    graph.setOutputs([g.Relu(value), g.Sigmoid(value)]);
    const two = loaded(createModel(graph, 21), "two.onnx");
    await expect(ensemble([loaded(members[0]), two])).rejects.toThrow(
      "teacher: two.onnx has 1 inputs and 2 outputs, the first model 1 and 1.",
    );
    expect(await ensemble([two])).toBe(two);
  });
});

describe("a teacher with Dropout", () => {
  const many = 4000;
  const ones = new Float32Array(many * features).fill(1);
  // y = Dropout(x) I: every output is 0 or 1 / (1 - ratio).
  const identity = Float32Array.from({ length: features * features }, (_, i) =>
    Number(i % (features + 1) === 0),
  );
  const dropping = (ratio: number) =>
    modelOf((g, value) => {
      const [dropped] = g.many("Dropout", [value, g.constant(ratio)], { outputs: 1 });
      return g.MatMul(dropped, g.constant(identity, { shape: [features, features] }));
    });

  test("answers once without it, and as a mean over masks with it", async () => {
    const model = dropping(0.25);
    expect(new Set(await taught(model, lesson, ones))).toEqual(new Set([1]));
    const once = await taught(model, { ...lesson, draws: 1 }, ones);
    const kept = once.filter((y) => y > 0).length / once.length;
    expect(kept).toBeGreaterThan(0.73);
    expect(kept).toBeLessThan(0.77);
    // The mean of four draws of 0 and 4/3: multiples of 1/3, the k-th with its binomial share.
    const four = await taught(model, { ...lesson, draws: 4 }, ones);
    const shares = [0, 1, 2, 3, 4].map(
      (k) => four.filter((y) => Math.abs(3 * y - k) < 1e-4).length,
    );
    for (const [k, share] of shares.entries()) {
      const binomial = [1, 4, 6, 4, 1][k] * 0.75 ** k * 0.25 ** (4 - k);
      expect(Math.abs(share / four.length - binomial)).toBeLessThan(0.015);
    }
    expect(shares.reduce((a, b) => a + b)).toBe(four.length);
  });

  test("is refused draws where it has none", () => {
    const plain = modelOf((g, value) => linear(weights[0], g, value));
    const why = "draws: the teacher has no Dropout, so all its answers would be equal";
    expect(() => teacherBytes(plain, { ...lesson, draws: 2 })).toThrow(why);
    expect(() => teacherBytes(dropping(0), { ...lesson, draws: 2 })).toThrow(why);
  });
});

test("a teacher whose input has another name has the same layers", () => {
  const named = (input: string): Model => {
    const graph = new Graph("hints");
    const value = graph.addInput(input, "float32", ["N", features]);
    const g = build(graph, "layer", inferNode);
    graph.setOutputs([g.Relu(g.Sigmoid(value))]);
    for (const node of graph.nodes) node.name = node.op;
    return createModel(graph, 21);
  };
  const choice = { hints: ["Sigmoid"], all: false, fits: "same" } as const;
  const [hint] = hintsOf(named("x"), named("image"), choice, { x: [rows, features] });
  expect(hint.shape).toEqual([rows, features]);
});
