/** @file Training against the coded size: what a price per bit does, on images with a bright quarter. */
import { describe, expect, test } from "vitest";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { createModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { measureMetric } from "../../src/measure/metric.ts";
import { packSmallest } from "../../src/measure/pack.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { build } from "../../src/ops/builder.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { biasOf, weightsOf } from "../../src/ops/weights.ts";
import { readWeight } from "../../src/weights/read.ts";
import { apply, environmentOf, runtime } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { kindOf, layerModel } from "../support/layer.ts";
import { hooksOf } from "../support/training-hooks.ts";

const side = 8;
const start = draw();

/** 64 -> 48 -> 4, as small as a net with something to leave out can be. */
function draw(): Model {
  const random = createRandom(17);
  const graph = new Graph("quarters");
  const image = graph.addInput("image", "float32", ["N", 1, side, side]);
  const g = build(graph);
  const dense = (x: Value, inputs: number, outputs: number): Value => {
    const scale = Math.sqrt(2 / inputs);
    const values = Float32Array.from({ length: inputs * outputs }, () => random.normal() * scale);
    const weight = g.constant(values, { shape: [outputs, inputs], name: "weight" });
    return g.Gemm(x, weight, g.constant(new Float32Array(outputs)), { transB: 1 });
  };
  const scores = dense(g.Relu(dense(g.Flatten(image), side * side, 48)), 48, 4);
  graph.setOutputs([scores]);
  const model = createModel(graph, 21);
  inferModel(model);
  return model;
}

const net = {
  name: "quarters",
  model: start,
  feeds: (records: number) => ({
    image: tensor("float32", [records, 1, side, side], new Float32Array(records * side * side)),
  }),
};

/** The label says which of the four quarters is bright. */
function quarters(records: number, seed: number) {
  const random = createRandom(seed);
  const pixels = new Float32Array(records * side * side);
  const labels = Int32Array.from({ length: records }, () => random.int(4));
  for (let i = 0; i < pixels.length; i++) {
    const place = i % (side * side);
    const quarter = 2 * Number(place >= (side * side) / 2) + Number(place % side >= side / 2);
    const isBright = quarter === labels[Math.floor(i / (side * side))];
    pixels[i] = random.normal() * 0.3 + Number(isBright);
  }
  const inputs = { image: tensor("float32", [records, 1, side, side], pixels) };
  return tensorDataset(inputs, tensor("int32", [records], labels), "quarters");
}

const env = environmentOf(net, { training: quarters(512, 3) });
const options = { epochs: 8, batch: 16, holdout: 0, rate: 0.005, ramp: 30 };
const train = (given: object) => apply(start, "train-rate", { ...options, ...given }, env);

const nonzeros = (model: Model): number =>
  weightsOf(model).reduce(
    (sum, { value }) => sum + readWeight(value)!.values.filter((w) => w !== 0).length,
    0,
  );

async function accuracyOf(bytes: Uint8Array): Promise<number> {
  const session = await runtime.open({ bytes }, { threads: 1 });
  const { metric } = await measureMetric({ session, dataset: quarters(256, 9), batchSize: 64 });
  await session.close();
  return metric?.value ?? 0;
}

describe("train-rate", () => {
  test("a dearer bit gives a smaller file, and the net still learns", async () => {
    const sizes: number[] = [];
    for (const lambda of [0, 1e-3]) {
      const { bytes, model } = await train({ lambda });
      sizes.push(packSmallest({ name: "net", source: { bytes }, model }).bytes.length);
      expect(await accuracyOf(bytes)).toBeGreaterThan(95);
    }
    expect(sizes[1]).toBeLessThan(0.5 * sizes[0]);
  });

  test("weights and biases lie on a grid", async () => {
    const { model } = await train({ lambda: 1e-5 });
    for (const { node, value } of weightsOf(model)) {
      expect(kindOf(readWeight(value)!)).toBe("grid");
      const bias = biasOf(node)?.tensor?.floats() ?? new Float32Array();
      const sizes = [...new Set(bias.map(Math.abs))].filter((b) => b > 0);
      const step = sizes.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
      // Multiples of some step: the smallest, or a part of it.
      const isGrid = [1, 2, 3, 4, 5, 6].some((part) =>
        sizes.every((b) => Math.abs((b * part) / step - Math.round((b * part) / step)) < 1e-3),
      );
      expect(isGrid).toBe(true);
    }
  });

  test("what was pruned may come back", async () => {
    const pruned = await apply(start, "prune-magnitude", { sparsity: 0.99 }, env);
    const before = nonzeros(pruned.model);
    const grown = await apply(pruned.model, "train-rate", { ...options, lambda: 0 }, env);
    expect(nonzeros(grown.model)).toBeGreaterThan(before);
    const kept = await apply(
      pruned.model,
      "train-rate",
      { ...options, lambda: 0, revive: false },
      env,
    );
    expect(nonzeros(kept.model)).toBeLessThanOrEqual(before);
  });
});

describe("the price of a level", () => {
  const [height, width] = [8, 12];
  const random = createRandom(5);
  // Later rows and columns have more levels that are not zero.
  const u = Float32Array.from({ length: height * width }, (_, i) => {
    const [row, column] = [Math.floor(i / width), i % width];
    return random.normal() * 0.02 * (row + 1) * (column + 1);
  });
  const model = layerModel(["N", width], (g, x) =>
    g.Gemm(x, g.constant(u, { shape: [height, width] }), null, { transB: 1 }),
  );
  const count = (of: (row: number, column: number) => boolean): number =>
    u.filter((v, i) => Math.abs(v) > 0.5 && of(Math.floor(i / width), i % width)).length;
  const share = (count(() => true) + 1) / (u.length + 2);
  /** log2 odds of a zero among `size` levels of which n are none, with 8 of the average added. */
  const odds = (n: number, size: number): number => {
    const p = (n + 8 * share) / (size + 8);
    return Math.log2((1 - p) / p);
  };
  /** B: what row and column say of a zero, beyond what the whole tensor does, and 1.5 bits. */
  const bits = (row: number, column: number): number => {
    const sum =
      odds(
        count((r) => r === row),
        width,
      ) +
      odds(
        count((_, c) => c === column),
        height,
      );
    return Math.min(14, Math.max(1, sum - Math.log2((1 - share) / share) + 1.5));
  };
  /** R = B 1.5 |u| / (|u| + 0.5) + log2(1 + |u|). */
  const price = (at: number, v: number): number => {
    const m = Math.abs(v);
    return (bits(Math.floor(at / width), at % width) * 1.5 * m) / (m + 0.5) + Math.log2(1 + m);
  };

  test.each([
    [250, 0.25],
    [1000, 1],
    [5000, 1],
  ])("at step %i the gradient is %f lambda dR/du, by differences", async (step, ramp) => {
    const options = { lambda: 0.5, ramp: 1000 };
    const hooked = await hooksOf(model, "train-rate", options);
    const { hooks, parameters, theta } = hooked;
    theta("levels").set(u);
    const gradient = new Float32Array(parameters.length).fill(3);
    hooks.beforeUpdate?.(gradient, { step, parameters } as never, hooked.step);
    for (const [at, slope] of theta("levels", gradient).entries()) {
      const expected = (price(at, u[at] + 1e-5) - price(at, u[at] - 1e-5)) / 2e-5;
      expect(slope - 3).toBeCloseTo(0.5 * ramp * expected, 4);
    }
    expect([...theta("scale", gradient)]).toEqual([3]);
  });
});
