/** @file A text encoder as one vector per token and their mean, against plain loops. */
import { describe, expect, test } from "vitest";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { cloneModel, createModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { verify } from "../../src/ir/verify.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { inferModel, inferNode } from "../../src/ops/infer.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { net } from "../support/quarters.ts";

const [rows, width, length, records] = [12, 5, 6, 40];
const random = createRandom(5);
const normal = (count: number) => Float32Array.from({ length: count }, () => random.normal());
const table = normal(rows * width);
const mixing = normal(width * width);
const head = normal(width * 2);
/** Texts of 2 to 6 tokens from 2 to 11, behind a 1, padded with 0. */
const texts = Array.from({ length: records }, () => {
  const tokens = [1, ...Array.from({ length: 1 + random.int(5) }, () => 2 + random.int(10))];
  return [...tokens, ...new Array<number>(length - tokens.length).fill(0)];
});
const ids = tensor("int64", [records, length], texts.flat());

/** tokens -> rows of the table, each through tanh(x M) -> their mean [N, width] -> 2 scores. */
function encoder(pool: (g: Builder, x: Value, mask: Value) => Value): Model {
  const graph = new Graph("encoder");
  const tokens = graph.addInput("tokens", "int64", ["N", "T"]);
  const g = build(graph, "layer", inferNode);
  const found = g.Gather(g.constant(table, { shape: [rows, width] }), tokens);
  const x = g.Tanh(g.MatMul(found, g.constant(mixing, { shape: [width, width] })));
  const mask = g.Cast(g.Not(g.Equal(tokens, g.constant(0, { dtype: "int64" }))), { to: 1 });
  const text = pool(g, x, mask);
  graph.setOutputs([g.MatMul(text, g.constant(head, { shape: [width, 2] }))]);
  graph.outputs[0].name = "scores";
  for (const node of graph.nodes) node.name = node.output.name;
  const model = createModel(graph, 21);
  inferModel(model);
  return model;
}

const mean = encoder((g, x, mask) => {
  const kept = g.Mul(x, g.Unsqueeze(mask, g.ints([2])));
  const count = g.ReduceSum(mask, g.ints([1]), { keepdims: 1 });
  return g.Div(g.ReduceSum(kept, g.ints([1]), { keepdims: 0 }), count);
});

const env = environmentOf(net, {
  calibration: tensorDataset({ tokens: ids }),
  feeds: { tokens: ids },
});
const scores = async (bytes: Uint8Array) =>
  (await outputsOf(bytes, { tokens: ids })).scores.floats();

/** The mean over each text's tokens of what the encoder gives for [1, token] alone. */
function expected(): number[] {
  const vectorOf = (token: number) =>
    Array.from({ length: width }, (_, j) => {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += table[token * width + i] * mixing[i * width + j];
      return Math.tanh(sum);
    });
  return texts.flatMap((text) => {
    const tokens = text.filter((token) => token !== 0);
    const sum = new Array<number>(width).fill(0);
    for (const token of tokens) {
      // Padding, alone behind the 1, is not counted by this encoder.
      const [first, own] = [vectorOf(1), vectorOf(token)];
      for (let i = 0; i < width; i++) sum[i] += (first[i] + own[i]) / 2 / tokens.length;
    }
    return [0, 1].map((c) => sum.reduce((total, x, i) => total + x * head[2 * i + c], 0));
  });
}

describe("static embeddings", () => {
  test("are the mean of what the encoder says of each token behind the first", async () => {
    const given = { fit: false, rare: 0 };
    const { model, bytes, skipped } = await apply(mean, "static-embeddings", given, env);
    expect([verify(model), skipped]).toEqual([[], []]);
    const found = await scores(bytes);
    for (const [i, want] of expected().entries()) expect(found[i]).toBeCloseTo(want, 4);
  });

  test("come nearer to the encoder by a fit to its vectors of whole texts", async () => {
    const start = await scores(concat(writeModel(mean)));
    const of = async (given: object) => {
      const { bytes } = await apply(mean, "static-embeddings", { rare: 0, ...given }, env);
      const found = await scores(bytes);
      return Math.hypot(...found.map((score, i) => score - start[i])) / Math.hypot(...start);
    };
    const [plain, fitted] = [await of({ fit: false }), await of({})];
    expect(fitted).toBeLessThan(0.5 * plain);
    expect(fitted).toBeLessThan(0.1);
  });

  test("have as many numbers per token as are asked, and weigh frequent tokens less", async () => {
    const { model } = await apply(mean, "static-embeddings", { dims: 2, rare: 0 }, env);
    const weighed = await apply(mean, "static-embeddings", { dims: 2, rare: 0.1 }, env);
    const tableOf = ({ graph }: Model) =>
      [...graph.constants].find(({ name }) => name.endsWith("embeddings"))?.tensor;
    expect(tableOf(model)?.shape).toEqual([rows, 2]);
    const counts = texts.flat().filter((token) => token !== 0);
    const [plain, own] = [tableOf(model), tableOf(weighed.model)].map((each) => each!.floats());
    for (let token = 1; token < rows; token++) {
      const share = counts.filter((other) => other === token).length / counts.length;
      expect(own[2 * token] / plain[2 * token]).toBeCloseTo(0.1 / (0.1 + share), 4);
    }
  });

  test("say why there are none", async () => {
    const reasonOf = async (model: Model) =>
      (await apply(model, "static-embeddings", {}, env)).skipped.map(({ reason }) => reason);
    expect(await reasonOf(net.model)).toEqual([
      "no input holds token numbers [N, T] that look up a table",
    ]);
    const graph = new Graph("tokens");
    const tokens = graph.addInput("tokens", "int64", ["N", "T"]);
    const g = build(graph, "layer", inferNode);
    graph.setOutputs([g.Tanh(g.Gather(g.constant(table, { shape: [rows, width] }), tokens))]);
    graph.outputs[0].producer!.name = "tanh";
    expect(await reasonOf(createModel(graph, 21))).toEqual([
      "no value [N, width] lies between the tokens and all outputs",
    ]);
  });

  test("leave an encoder of fixed shape, which reads no token alone", async () => {
    const fixed = cloneModel(mean);
    fixed.graph.inputs[0].shape = ["N", length];
    inferModel(fixed);
    const { skipped } = await apply(fixed, "static-embeddings", {}, env);
    expect(skipped.map(({ reason }) => reason)).toEqual([
      "the input tokens has the fixed shape [N,6], and tokens are encoded one by one: free both axes",
    ]);
  });
});
