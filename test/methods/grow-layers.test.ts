/** @file Net2Net: more channels and layers, and the same outputs. */
import { describe, expect, test } from "vitest";
import { cloneModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { verify } from "../../src/ir/verify.ts";
import { makeNet } from "../../src/nets/index.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { attentionNet, type BlockName, blocks, pictureNet } from "../ops/coupling-nets.ts";
import { apply, environmentOf } from "../support/apply.ts";
import { relativeError } from "../support/error.ts";
import { layerModel } from "../support/layer.ts";
import { net } from "../support/quarters.ts";

const env = environmentOf(net);
const grow = (model: Model, options: object) => apply(model, "grow-layers", { ...options }, env);
const numbersIn = (model: Model): number =>
  weightsOf(model).reduce((sum, { value }) => sum + (value.tensor?.size ?? 0), 0);

/** Grows the model and compares its outputs; by how many times its weights have grown. */
async function grown({ model, feeds }: ReturnType<typeof pictureNet>, options: object) {
  const start = cloneModel(model);
  inferModel(start);
  const larger = await grow(start, options);
  expect(verify(larger.model)).toEqual([]);
  const [before, after] = [start, larger.model].map(({ graph }) => evaluateGraph(graph, feeds));
  expect(relativeError(before, after)).toBeLessThan(1e-5);
  return numbersIn(larger.model) / numbersIn(start);
}

test.each(Object.keys(blocks) as BlockName[])("%s: the same outputs", async (name) => {
  const more = await grown(pictureNet(3, [name]), { width: 1.6 });
  expect(more).toBeGreaterThan(name === "upGrouped" ? 1 : 1.2);
});

test.each([true, false])("attention (fused: %s): the same outputs", async (isFused) => {
  expect(await grown(attentionNet(5, 4, 2, isFused), { width: 2 })).toBeGreaterThan(1.2);
});

test.each(["lenet-5", "resnet-8"])("%s, wider and deeper: the same outputs", async (name) => {
  const model = makeNet(name, 1);
  const [{ name: input, shape }] = model.graph.inputs;
  const [, ...dims] = shape as number[];
  const random = createRandom(2);
  const size = dims.reduce((a, b) => a * b);
  const x = Float32Array.from({ length: size }, () => random.normal());
  const feeds = { [input]: tensor("float32", [1, ...dims], x) };
  expect(await grown({ model, feeds }, { width: 1.25, depth: 1.5 })).toBeGreaterThan(1.5);
});

describe("a perceptron of two layers", () => {
  const [first, second] = [
    [1, -2, 3, 4, 5, -6],
    [1, 2, 3, 4, 5, 6],
  ];
  const start = layerModel(["N", 2], (g, x) =>
    g.MatMul(
      g.Relu(g.MatMul(x, g.constant(first, { shape: [2, 3] }))),
      g.constant(second, { shape: [3, 2] }),
    ),
  );

  test("reads copies by shares that add up, and are not equal", async () => {
    const { model, groups } = await grow(start, { width: 2 });
    expect(groups[0]).toMatchObject({ node: "layer1", before: 3, after: 6 });
    const [w, v] = weightsOf(model).map(({ value }) => Array.from(value.tensor!.numbers()));
    // Each column of the first weight stands twice, side by side.
    expect(w).toEqual([1, 1, -2, -2, 3, 3, 4, 4, 5, 5, -6, -6]);
    for (const unit of [0, 1, 2]) {
      for (const output of [0, 1]) {
        const [a, b] = [v[4 * unit + output], v[4 * unit + 2 + output]];
        expect(a + b).toBeCloseTo(second[2 * unit + output], 5);
        expect(Math.abs(a - b)).toBeGreaterThan(1e-3);
        expect(Math.min(a, b)).toBeGreaterThan(0);
      }
    }
  });

  test("gets layers that are the identity behind an activation", async () => {
    const { model } = await grow(start, { width: 1, depth: 2 });
    const weights = weightsOf(model).map(({ value }) => Array.from(value.tensor!.numbers()));
    expect(weights).toHaveLength(3);
    expect(weights).toContainEqual([1, 0, 0, 0, 1, 0, 0, 0, 1]);
  });

  test("says why a layer keeps its width", async () => {
    const summed = layerModel(["N", 2], (g, x) => {
      const y = g.MatMul(x, g.constant(first, { shape: [2, 3] }));
      return g.ReduceSumSquare(y, g.ints([1]));
    });
    const { skipped, bytes } = await grow(summed, { width: 2 });
    const reason = "keeps its width: layer2 sums over it without a weight of floats of its own";
    expect(skipped).toEqual([{ node: "layer1", method: "grow-layers", reason }]);
    expect(bytes).toEqual((await grow(summed, { width: 1 })).bytes);
  });
});
