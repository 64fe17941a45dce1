/** @file What weight decay shrinks: weights in any stored form, and nothing else that learns. */
import { expect, test } from "vitest";
import type { Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { trainModel } from "../../src/recipe/train.ts";
import { trainOptions } from "../../src/train/options.ts";
import { open } from "../../src/weights/latent.ts";
import { readWeight } from "../../src/weights/read.ts";
import { thetasOf } from "../../src/weights/sites.ts";
import { leaf } from "../../src/weights/weight.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(5);
const normal = (length: number) => Float32Array.from({ length }, () => random.normal());
const size = 16;
const input = tensor("float32", [3, size], normal(3 * size));

/** Plain weights and a bias; weights on a grid; a normalization; weights that are opened. */
const start = layerModel(["N", size], (g, x) => {
  const square = () => g.constant(normal(size * size), { shape: [size, size] });
  const vector = () => g.constant(normal(size));
  const gemm = g.Gemm(x, square(), vector());
  const norm = g.BatchNormalization(
    g.MatMul(gemm, square()),
    vector(),
    vector(),
    vector(),
    g.constant(normal(size).map(Math.abs)),
  );
  return g.MatMul(norm, square());
});

test("one step whose only slope is that of the decay", async () => {
  const { model } = await apply(
    start,
    "quantize-weights",
    { only: ["layer2"] },
    environmentOf(nets[0]),
  );
  inferModel(model);
  const names = ["layer1", "layer2", "layer4"];
  const read = (from: Model, name: string) => {
    const node = [...from.graph.nodes].find((own) => own.name === name)!;
    return node.inputs.slice(1).map((value) => Array.from(readWeight(value!)!.values));
  };
  const norm = (from: Model) =>
    [...from.graph.nodes]
      .find(({ op }) => op === "BatchNormalization")!
      .inputs.slice(1, 3)
      .map((value) => Array.from(value!.tensor!.floats()));
  const before = names.map((name) => read(model, name));
  const normBefore = norm(model);
  // The labels are what the model gives, so that the loss has no slope but by rounding.
  const { y } = await outputsOf(concat(writeModel(model)), { x: input });
  const env = environmentOf(nets[0], { training: tensorDataset({ x: input }, y) });
  const [site] = thetasOf(model, { only: ["layer4"], except: [] }, { skip() {} });
  const { values, shape } = site.weight;
  const latents = [
    open(site, {
      theta: { weight: { start: values, shape } },
      build: (_, { weight }) => weight,
      close: ({ weight }) => leaf(weight, shape),
    }),
  ];
  const options = trainOptions.parse({
    ...{ loss: "mse", optimizer: "sgd", momentum: 0, rate: 1e-5, decay: 2e4, schedule: "constant" },
    ...{ steps: 1, batch: 3, holdout: 0, batchnorm: "frozen" },
  });
  await trainModel(model, options, { latents }, env, { label: "1 train", original: model });
  const [[weight, bias], [grid], [opened]] = names.map((name) => read(model, name));
  const expectScaled = (found: number[], from: number[], factor: number) => {
    for (const [i, w] of found.entries()) expect(w).toBeCloseTo(factor * from[i], 4);
  };
  expectScaled(weight, before[0][0], 0.8);
  expectScaled(bias, before[0][1], 1);
  // The integers stay; their scale is what decays.
  expectScaled(grid, before[1][0], 0.8);
  expectScaled(opened, before[2][0], 1);
  for (const [i, values] of norm(model).entries()) expectScaled(values, normBefore[i], 1);
});
