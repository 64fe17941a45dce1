/** @file Structured matrices afterwards: their parts are trained, rounded and packed, and stay what they are. */
import { describe, expect, test } from "vitest";
import { Graph } from "../../src/ir/graph.ts";
import { createModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { packSmallest } from "../../src/measure/pack.ts";
import { families, type MethodId } from "../../src/methods/index.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { build } from "../../src/ops/builder.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { unpack } from "../../src/unpack.ts";
import { readWeight } from "../../src/weights/read.ts";
import type { Composed } from "../../src/weights/weight.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { relativeError } from "../support/error.ts";
import { layerModel } from "../support/layer.ts";

const [rows, columns, classes, records] = [64, 64, 4, 32];
const random = createRandom(5);
const normal = (size: number, scale = 1): Float32Array =>
  Float32Array.from({ length: size }, () => scale * random.normal());

/** x [N, columns] -> W -> Relu -> classes. */
const model: Model = (() => {
  const graph = new Graph("after");
  const g = build(graph);
  const x = graph.addInput("x", "float32", ["N", columns]);
  const first = g.constant(normal(rows * columns, 0.1), { shape: [rows, columns] });
  const hidden = g.Relu(g.Gemm(x, first, g.constant(normal(rows)), { transB: 1 }));
  const last = g.constant(normal(classes * rows, 0.1), { shape: [classes, rows] });
  const y = g.Gemm(hidden, last, g.constant(new Float32Array(classes)), { transB: 1 });
  y.name = "y";
  graph.setOutputs([y]);
  for (const [i, node] of graph.sorted().entries()) node.name = `${node.op}${i}`;
  const made = createModel(graph, 21);
  inferModel(made);
  return made;
})();

const feeds = (size: number) => ({ x: tensor("float32", [size, columns], normal(size * columns)) });
const labels = Int32Array.from({ length: records }, (_, i) => i % classes);
const env = environmentOf(
  { name: "after", model, feeds },
  {
    training: tensorDataset(feeds(records), tensor("int32", [records], labels), "after"),
    feeds: feeds(4),
  },
);

const structuredIn = (one: Model): Composed => {
  inferModel(one);
  const weights = weightsOf(one).map(({ value }) => readWeight(value));
  return weights.find((weight) => weight?.shape[0] === rows) as Composed;
};
const packed = (one: Model): Uint8Array =>
  packSmallest({ name: "m", source: { bytes: concat(writeModel(one)) }, model: one }).bytes;

/** x [N, columns, 2, 1] -> 1x1 convolution. */
const conv = layerModel(["N", columns, 2, 1], (g, x) =>
  g.Conv(x, g.constant(normal(rows * columns, 0.1), { shape: [rows, columns, 1, 1] })),
);

describe.each(Object.keys(families.structured) as MethodId[])("%s", (id) => {
  test("trains the parts that learn, rounds them to 4 bits and packs them", async () => {
    const stored = await apply(model, id, { ratio: 4 }, env);
    const before = structuredIn(stored.model);
    const options = { epochs: 1, batch: 16, loss: "cross-entropy", rate: 0.01, holdout: 0 };
    const trained = await apply(stored.model, "train", options, env);
    const after = structuredIn(trained.model);
    expect(after.form.kind).toBe(before.form.kind);
    for (const [name, { learns }] of Object.entries(before.form.theta)) {
      const [a, b] = [before.theta[name].values, after.theta[name].values];
      expect([name, Array.from(a).some((x, i) => x !== b[i])]).toEqual([name, learns]);
    }

    const small = await apply(trained.model, "quantize-weights", { bits: 4, block: 0 }, env);
    const nested = structuredIn(small.model);
    expect(nested.form.kind).toBe(before.form.kind);
    const kinds = Object.values(nested.theta).map(({ form }) => form?.kind ?? "numbers");
    expect(kinds).toContain("grid");
    expect(small.bytes.length).toBeLessThan(trained.bytes.length);

    const bytes = packed(small.model);
    expect(bytes.length).toBeLessThan(small.bytes.length);
    const again = readModel(await unpack(bytes), { name: "again" });
    expect(structuredIn(again).form.kind).toBe(before.form.kind);
    const outputs = [small.bytes, concat(writeModel(again))].map((b) => outputsOf(b, env.feeds));
    expect(relativeError(await outputs[0], await outputs[1])).toBeLessThan(1e-6);
  });

  test("stores a 1x1 convolution, which the engine computes from the parts", async () => {
    const x = normal(2 * columns);
    const { bytes, model: stored, skipped } = await apply(conv, id, { ratio: 4 }, env);
    expect(skipped).toEqual([]);
    const { values, form, shape } = structuredIn(stored);
    expect(shape).toEqual([rows, columns, 1, 1]);
    expect(form.kind).toBeTypeOf("string");
    const { y } = await outputsOf(bytes, { x: tensor("float32", [1, columns, 2, 1], x) });
    y.floats().forEach((value, at) => {
      const [row, position] = [Math.floor(at / 2), at % 2];
      let sum = 0;
      for (let c = 0; c < columns; c++) sum += values[row * columns + c] * x[2 * c + position];
      expect(value).toBeCloseTo(sum, 4);
    });
  });
});
