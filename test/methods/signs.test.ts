/** @file Binary activations, and what all methods of one and two bits must keep: closing changes nothing. */
import { describe, expect, test } from "vitest";
import { Graph, type Node, type Value } from "../../src/ir/graph.ts";
import { createModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { openSigns } from "../../src/learned/signs.ts";
import { packSmallest } from "../../src/measure/pack.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { applyRecipe } from "../../src/recipe/apply.ts";
import type { Event } from "../../src/recipe/environment.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import { readWeight } from "../../src/weights/read.ts";
import { thetasOf } from "../../src/weights/sites.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { columns, differentiate, rows, size, slopes } from "./latents.ts";

const random = createRandom(3);
const normal = (length: number, scale = 1): Float32Array =>
  Float32Array.from({ length }, () => scale * random.normal());
const [channels, side, classes, records] = [4, 6, 3, 24];

/** image -> conv1 -> (norm) -> relu -> `middle` -> last. */
function draw(middle: (g: Builder, x: Value) => Value, isNormed = false): Model {
  const graph = new Graph("signs");
  const g = build(graph);
  const image = graph.addInput("x", "float32", ["N", 2, side, side]);
  const vector = (low: number) => g.constant(normal(channels, 0.2).map((x) => low + x));
  const first = g.Conv(image, weight(g, [channels, 2, 3, 3]), null, { pads: [1, 1, 1, 1] });
  const norm = isNormed
    ? g.BatchNormalization(first, vector(1), vector(0), vector(0), vector(1))
    : first;
  const flat = g.Flatten(middle(g, g.Relu(norm)));
  inferModel(createModel(graph, 21));
  const y = g.Gemm(flat, weight(g, [flat.shape?.[1] as number, classes]));
  y.name = "y";
  graph.setOutputs([y]);
  const counts: Record<string, number> = {};
  for (const node of graph.sorted()) {
    counts[node.op] = (counts[node.op] ?? 0) + 1;
    node.name = `${node.op.toLowerCase()}${counts[node.op]}`;
  }
  const model = createModel(graph, 21);
  inferModel(model);
  return model;
}

const weight = (g: Builder, shape: readonly number[]): Value =>
  g.constant(
    normal(
      shape.reduce((a, b) => a * b),
      0.4,
    ),
    { shape },
  );

const strided = { pads: [1, 0, 1, 2], strides: [2, 1] };
const conv = (g: Builder, x: Value): Value =>
  g.Conv(x, weight(g, [5, channels, 3, 3]), g.constant(normal(5)), strided);

const feeds = (count: number) => ({
  x: tensor("float32", [count, 2, side, side], normal(count * 2 * side * side)),
});
const labels = Int32Array.from({ length: records }, (_, i) => i % classes);
const envOf = (model: Model) =>
  environmentOf(
    { name: "signs", model, feeds },
    {
      training: tensorDataset(feeds(records), tensor("int32", [records], labels), "signs"),
      calibration: tensorDataset(feeds(8)),
      feeds: feeds(4),
    },
  );
const nodeOf = (model: Model, op: string): Node =>
  [...model.graph.nodes].find((node) => node.op === op) as Node;

describe("openSigns", () => {
  const notes = () => {
    const warnings: string[] = [];
    return { warnings, warn: (text: string) => warnings.push(text), skip() {} };
  };
  const openAll = (model: Model, context = notes()) => {
    const sites = thetasOf(model, { only: [], except: [] }, context, 1).slice(1);
    return { opened: openSigns(model, sites, context), warnings: context.warnings };
  };

  test("the gradient of sign(x) is 1(|x| <= 1) (BNN, eq. 4), and sign(0) = 1", () => {
    const x = normal(size, 1.2);
    [x[0], x[1], x[2]] = [0, 1, -1];
    const [{ latent }] = openAll(draw(conv)).opened;
    const { w, gradients } = differentiate(latent, { x }, slopes);
    for (let i = 0; i < size; i++) {
      expect(w[i]).toBe(x[i] < 0 ? -1 : 1);
      expect(gradients.x[i]).toBeCloseTo(Math.abs(x[i]) <= 1 ? slopes[i] : 0, 6);
    }
    // What is left behind gives the same.
    const graph = new Graph("closed");
    const input = graph.addInput("x", "float32", [rows, columns]);
    const closed = latent.close({}, input) as (g: Builder, x: Value) => Value;
    const y = closed(build(graph), input);
    graph.setOutputs([y]);
    const feed = { x: tensor("float32", [rows, columns], x) };
    expect([...evaluateGraph(graph, feed)[y.name].floats()]).toEqual([...w]);
  });

  test("a layer behind a Relu reads the signs of what the Relu reads", () => {
    const model = draw(conv, true);
    const { opened, warnings } = openAll(model);
    expect(opened[0].value.producer?.op).toBe("BatchNormalization");
    expect(opened[0].readers?.map(({ name }) => name)).toEqual(["conv2"]);
    expect(warnings).toEqual([]);
  });

  test("also behind pooling, unless something else reads it", () => {
    const pooled = (g: Builder, x: Value) => conv(g, g.MaxPool(x, { kernel_shape: [2, 2] }));
    const model = draw(pooled, true);
    const { opened } = openAll(model);
    expect(opened[0].value.producer?.op).toBe("MaxPool");
    expect(nodeOf(model, "MaxPool").inputs[0]?.producer?.op).toBe("BatchNormalization");
    const shared = draw((g, x) => {
      const small = g.MaxPool(x, { kernel_shape: [2, 2], strides: [1, 1] });
      const branch = g.Conv(small, weight(g, [channels, channels, 1, 1]));
      return g.Add(branch, small);
    }, true);
    const left = openAll(shared);
    expect(left.opened.flatMap(({ readers = [] }) => readers.map(({ name }) => name))).toEqual([
      "gemm1",
    ]);
    expect(left.warnings.join()).toMatch(/input of conv2 stays float: it is never negative/);
    expect(nodeOf(shared, "MaxPool").inputs[0]?.producer?.op).toBe("Relu");
  });

  test("a network without a normalization is warned of", () => {
    expect(openAll(draw(conv)).warnings.join()).toMatch(/no layer is normalized/);
  });
});

test("binarize-xnor: y = (W * sign(x)) K + b, K the mean of |x| over channels and windows (eq. 11)", async () => {
  const start = draw(conv, true);
  const given = { epochs: 2, batch: 8, loss: "cross-entropy" };
  const { model } = await apply(start, "binarize-xnor", given, envOf(start));
  inferModel(model);
  const ops = [...model.graph.nodes].map(({ op }) => op);
  for (const op of ["Sign", "Abs", "ReduceMean", "AveragePool"]) expect(ops).toContain(op);
  expect(ops).not.toContain("Clip");
  const layer = weightsOf(model)[1];
  const { values: w } = readWeight(layer.value)!;
  const add = layer.node.output.consumers[0].output.consumers[0];
  const b = add.inputs[1]?.tensor?.floats() as Float32Array;
  const x = nodeOf(model, "Abs").inputs[0] as Value;
  model.graph.setOutputs([x, add.output]);
  const found = Object.values(evaluateGraph(model.graph, feeds(2)));
  const [input, y] = found.map((one) => one.floats());
  const [, outs, height, width] = found[1].shape;
  expect([outs, height, width]).toEqual([5, 3, 6]);
  const { pads, strides } = strided;
  for (let n = 0; n < 2; n++) {
    for (let o = 0; o < outs; o++) {
      for (let i = 0; i < height; i++) {
        for (let j = 0; j < width; j++) {
          let [sum, K] = [0, 0];
          for (let c = 0; c < channels; c++) {
            for (let k = 0; k < 9; k++) {
              const row = i * strides[0] - pads[0] + Math.floor(k / 3);
              const column = j * strides[1] - pads[1] + (k % 3);
              if (row < 0 || row >= side || column < 0 || column >= side) continue;
              const value = input[((n * channels + c) * side + row) * side + column];
              sum += w[(o * channels + c) * 9 + k] * (value < 0 ? -1 : 1);
              K += Math.abs(value) / channels / 9;
            }
          }
          expect(y[((n * outs + o) * height + i) * width + j]).toBeCloseTo(sum * K + b[o], 4);
        }
      }
    }
  }
});

describe("a step of training computes what the stored model computes", () => {
  const dense = (g: Builder, x: Value): Value => {
    const flat = g.Flatten(x);
    return g.Relu(g.Gemm(flat, weight(g, [channels * side * side, 64]), g.constant(normal(64))));
  };
  const rows: readonly (readonly [string, Record<string, unknown>, number])[] = [
    ["binarize-bwn", { ends: 8 }, 1],
    ["binarize-xnor", {}, 1],
    ["binarize-bnn", {}, 1],
    ["ternarize-twn", {}, 2],
    ["ternarize-ttq", {}, 2],
  ];
  test.each(rows)("%s %j", async (method, given, bits) => {
    const start = draw(dense);
    const told: string[] = [];
    const onEvent = (event: Event) => event.type === "note" && told.push(event.text);
    const env = { ...envOf(start), onEvent };
    // A rate at which no weight moves: the loss of the first step is that of the result.
    const options = { steps: 1, batch: records, loss: "cross-entropy", rate: 1e-12, ...given };
    const steps = parseRecipe([{ method, ...options }] as never);
    const { model, bytes, kept, training } = await applyRecipe(start, steps, env);
    expect(kept).toEqual([true]);
    const ends = "ends" in given ? ", 2 weights to a grid of 8 bits" : "";
    expect(told.join()).toMatch(new RegExp(`: [13] weights? to -?[01].* for each \\w+.*${ends}$`));
    const { inputs } = await env.training!.read(Array.from({ length: records }, (_, i) => i));
    const scores = Object.values(await outputsOf(bytes, inputs))[0].floats();
    let loss = 0;
    for (let i = 0; i < records; i++) {
      const own = [...scores.subarray(i * classes, (i + 1) * classes)];
      const sum = own.reduce((total, s) => total + Math.exp(s), 0);
      loss += (Math.log(sum) - own[labels[i]]) / records;
    }
    expect(training[0].curve[0].loss).toBeCloseTo(loss, 4);
    const packed = (one: Model) =>
      packSmallest({ name: "m", source: { bytes: concat(writeModel(one)) }, model: one }).bytes;
    // 9,216 of the 9,480 weights are in the middle layer.
    expect(packed(model).length).toBeLessThan(((bits + 1) / 32) * packed(start).length + 1500);
  });
});
