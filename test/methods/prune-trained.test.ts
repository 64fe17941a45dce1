/** @file Pruning by training: groups really are zero, masks come back, gates shut, and labels are learned. */
import { describe, expect, test } from "vitest";
import { tensor } from "../../src/ir/tensor.ts";
import type { MethodId } from "../../src/methods/index.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(3);
const normal = (length: number): Float32Array =>
  Float32Array.from({ length }, () => random.normal());

/** y = A x where A has few entries: what a sparse layer can learn exactly. */
const [inputs, outputs, records] = [24, 8, 256];
const truth = Float32Array.from({ length: inputs * outputs }, (_, i) =>
  i % 5 === 0 ? (i % 2 ? 2 : -2) : 0,
);
const x = tensor("float32", [records, inputs], normal(records * inputs));
const y = tensor(
  "float32",
  [records, outputs],
  Float32Array.from({ length: records * outputs }, (_, i) => {
    const [record, o] = [Math.floor(i / outputs), i % outputs];
    let sum = 0;
    for (let k = 0; k < inputs; k++) {
      sum += truth[o * inputs + k] * x.floats()[record * inputs + k];
    }
    return sum;
  }),
);
const env = environmentOf(nets[0], {
  training: tensorDataset({ x }, y),
  calibration: tensorDataset({ x }),
  feeds: { x },
});

const layer = (weight: Float32Array) =>
  layerModel(["N", inputs], (g, value) =>
    g.Gemm(value, g.constant(weight, { shape: [outputs, inputs] }), null, { transB: 1 }),
  );
/** Magnitudes that say nothing about what matters, and those of a layer that has learned roughly. */
const start = layer(normal(inputs * outputs));
const learned = layer(truth.map((w) => w + 0.3 * random.normal()));

async function prune(id: MethodId, given: object, from = start) {
  const options = { loss: "mse", batch: 32, rate: 0.02, ...given };
  const { model, bytes } = await apply(from, id, { ...options }, env);
  const found = (await outputsOf(bytes, { x })).y.floats();
  const labels = y.floats();
  const error =
    found.reduce((sum, value, i) => sum + (value - labels[i]) ** 2, 0) /
    labels.reduce((sum, value) => sum + value ** 2, 0);
  return { error, values: weightsIn(model)[0].weight.values, bytes };
}

const zeros = (values: Float32Array): number => values.filter((w) => w === 0).length;

describe("prune-surgery", () => {
  test("finds the weights that matter, wherever it starts", async () => {
    const { error, values } = await prune("prune-surgery", {
      sparsity: 0.78,
      epochs: 80,
      rate: 0.05,
    });
    expect(zeros(values)).toBe(Math.round(0.78 * inputs * outputs));
    expect(error).toBeLessThan(0.01);
    expect(values.every((w, i) => truth[i] === 0 || w !== 0)).toBe(true);
  });

  test("repeats", async () => {
    const [a, b] = [
      await prune("prune-surgery", { sparsity: 0.5, epochs: 2 }),
      await prune("prune-surgery", { sparsity: 0.5, epochs: 2 }),
    ];
    expect(Buffer.compare(a.bytes, b.bytes)).toBe(0);
  });
});

describe("prune-trained", () => {
  test.each([
    ["l1", 1e-2],
    ["decay", 1e-2],
  ])("%s finds the weights that matter", async (regularizer, strength) => {
    const { error, values } = await prune("prune-trained", {
      regularizer,
      strength,
      sparsity: 0.75,
      epochs: 80,
    });
    expect(zeros(values)).toBeGreaterThanOrEqual(0.75 * values.length);
    expect(values.every((w, i) => truth[i] === 0 || w !== 0)).toBe(true);
    expect(error).toBeLessThan(0.05);
  });

  test("l0 shuts the gates of the weights that do not matter, and no other", async () => {
    const options = { regularizer: "l0", strength: 1e-2, rate: 0.01, epochs: 80 };
    // Hardly any share to reach: the zeros are the gates'.
    const { error, values } = await prune("prune-trained", { ...options, sparsity: 0.01 }, learned);
    expect(values.every((w, i) => truth[i] === 0 || w !== 0)).toBe(true);
    expect(zeros(values)).toBeGreaterThan(0.7 * values.length);
    expect(error).toBeLessThan(0.05);
  });

  test.each([
    ["filters", (o: number) => o],
    ["channels", (_: number, k: number) => k],
    ["shapes", (_: number, k: number) => k],
    ["damage", (_: number, k: number) => k],
  ] as const)("%s: whole groups are zero", async (regularizer, unitOf) => {
    const { values } = await prune("prune-trained", { regularizer, sparsity: 0.5, epochs: 2 });
    const kept = new Set<number>();
    const all = new Set<number>();
    for (const [i, w] of values.entries()) {
      const unit = unitOf(Math.floor(i / inputs), i % inputs);
      all.add(unit);
      if (w !== 0) kept.add(unit);
    }
    expect(kept.size).toBe(all.size / 2);
  });

  test("group lasso drives a group that nobody needs to zero, and not the others", async () => {
    // Inputs 0..11 matter, the others do not: their columns shrink under the penalty.
    const half = Float32Array.from(truth, (_, i) => (i % inputs < 12 ? 1 : 0));
    const label = Float32Array.from({ length: records * outputs }, (_, i) => {
      const [record, o] = [Math.floor(i / outputs), i % outputs];
      return half
        .subarray(o * inputs, (o + 1) * inputs)
        .reduce((sum, w, k) => sum + w * x.floats()[record * inputs + k], 0);
    });
    const data = tensorDataset({ x }, tensor("float32", [records, outputs], label));
    const { model } = await apply(
      start,
      "prune-trained",
      { regularizer: "channels", sparsity: 0.5, loss: "mse", batch: 32, rate: 0.02, epochs: 30 },
      { ...env, training: data },
    );
    const { values } = weightsIn(model)[0].weight;
    for (const [i, w] of values.entries()) expect(w !== 0).toBe(i % inputs < 12);
  });

  test("slimming: one threshold over the scales of all layers, of which each keeps its largest", async () => {
    const scales = [
      [0.1, -0.4, 0.2, 0.3],
      [-4, 2, 1, 3],
    ];
    const model = layerModel(["N", 3, 4, 4], (g, value) =>
      scales.reduce((y, own, i) => {
        const w = g.constant(normal(4 * (i ? 4 : 3)), { shape: [4, i ? 4 : 3, 1, 1] });
        const vector = (v: number) => g.constant(new Float32Array(4).fill(v));
        const norm = [g.constant(own), vector(0.5), vector(0), vector(1)] as const;
        return g.Relu(g.BatchNormalization(g.Conv(y, w), ...norm));
      }, value),
    );
    const image = tensor("float32", [16, 3, 4, 4], normal(16 * 48));
    const images = environmentOf(nets[0], {
      training: tensorDataset({ x: image }),
      feeds: { x: image },
    });
    const zerosOf = async (given: object): Promise<number[][]> => {
      const options = { regularizer: "slimming", epochs: 1, rate: 1e-5, ...given };
      const pruned = await apply(model, "prune-trained", options, images);
      return pruned.model.graph.sorted().flatMap((node) => {
        const gammas = node.op === "BatchNormalization" ? node.inputs[1]?.tensor?.floats() : null;
        return gammas ? [[0, 1, 2, 3].filter((i) => gammas[i] === 0)] : [];
      });
    };
    expect(await zerosOf({ sparsity: 0.25 })).toEqual([[0, 2], []]);
    expect(await zerosOf({ sparsity: 0.625 })).toEqual([[0, 2, 3], [2]]);
    expect(await zerosOf({ sparsity: 0.25, scope: "layer" })).toEqual([[0], [2]]);
  });

  test("slimming: scales of normalizations go to zero, channels become constant", async () => {
    const model = layerModel(["N", 3, 6, 6], (g, value) => {
      const w = g.constant(normal(8 * 27), { shape: [8, 3, 3, 3] });
      const vector = (of: (i: number) => number) =>
        g.constant(Array.from({ length: 8 }, (_, i) => of(i)));
      const conv = g.Conv(value, w);
      return g.Relu(
        g.BatchNormalization(
          conv,
          vector((i) => 0.1 + i),
          vector(() => 0.5),
          vector(() => 0),
          vector(() => 1),
        ),
      );
    });
    const image = tensor("float32", [16, 3, 6, 6], normal(16 * 108));
    const images = environmentOf(nets[0], {
      training: tensorDataset({ x: image }),
      feeds: { x: image },
    });
    const { bytes } = await apply(
      model,
      "prune-trained",
      { regularizer: "slimming", sparsity: 0.25, epochs: 1 },
      images,
    );
    const { y: result } = await outputsOf(bytes, { x: image });
    const { shape } = result;
    const values = result.floats();
    const plane = shape[2] * shape[3];
    const constant = Array.from({ length: 8 }, (_, c) =>
      Array.from({ length: 16 }, (__, n) =>
        values.subarray((n * 8 + c) * plane, (n * 8 + c + 1) * plane),
      ).every((part) => part.every((v) => v === values[c * plane])),
    );
    // The two smallest scales, 0.1 and 1.1, belong to channels 0 and 1.
    expect(constant).toEqual([true, true, false, false, false, false, false, false]);
  });
});

describe("prune-magnitude in steps", () => {
  test("trains between rounds: less error than at once", async () => {
    const options = { sparsity: 0.75, rate: 0.02 };
    const run = async (given: object) => {
      const { bytes } = await apply(start, "prune-magnitude", { ...options, ...given }, env);
      const found = (await outputsOf(bytes, { x })).y.floats();
      return found.reduce((sum, value, i) => sum + (value - y.floats()[i]) ** 2, 0);
    };
    const atOnce = await run({});
    const inSteps = await run({ steps: 8, epochs: 30 });
    expect(inSteps).toBeLessThan(0.5 * atOnce);
  });
});
