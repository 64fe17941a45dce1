/** @file Merging neurons that are the same, or multiples, changes nothing; hashes are where theory says. */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Model } from "../../src/ir/model.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import type { MethodId } from "../../src/methods/index.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { histogramMode } from "../../src/numeric/statistics.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { hashOf, meansOf } from "../../src/weights/forms/hashed.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { relativeError } from "../support/error.ts";
import { layerModel, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(5);
const normal = (length: number): Float32Array =>
  Float32Array.from({ length }, () => random.normal());

/**
 * What is left of `out` [units, outputs] after each merge of neurons with the incoming weights
 * `into` [inputs, units], and what each cost: |a_j|^2 |w_j - w_i|^2 for the cheapest pair of all that
 * are left (eq. 5). Tanh does not scale, so that c = 1.
 */
function mergesOf(into: Float32Array, out: Float32Array, outputs: number) {
  const units = out.length / outputs;
  const square = (v: readonly number[]) => v.reduce((sum, x) => sum + x * x, 0);
  const a = Array.from({ length: units }, (_, u) => [
    ...out.subarray(u * outputs, (u + 1) * outputs),
  ]);
  const w = a.map((_, u) => [...into.filter((__, i) => i % units === u)]);
  const merges: { readonly cost: number; readonly left: number[] }[] = [];
  for (let left = [...a.keys()]; left.length > 1; ) {
    let best = { i: -1, j: -1, cost: Number.POSITIVE_INFINITY };
    for (const i of left) {
      for (const j of left) {
        const cost = square(a[j]) * square(w[j].map((v, k) => v - w[i][k]));
        if (i !== j && cost < best.cost) best = { i, j, cost };
      }
    }
    a[best.i] = a[best.i].map((v, k) => v + a[best.j][k]);
    left = left.filter((u) => u !== best.j);
    merges.push({ cost: best.cost, left: left.flatMap((u) => a[u]) });
  }
  return merges;
}

/** How many merges come before the first that costs more than the mode of all costs. */
const belowMode = (costs: readonly number[]): number => {
  const mode = histogramMode(costs);
  return costs.findIndex((cost) => cost > mode);
};

describe("merge-neurons", () => {
  /** 6 filters or neurons, of which 3 are multiples (times 2, times 3, equal) of others. */
  const factors = [1, 1, 1, 2, 3, 1];
  const twins = (own: Float32Array, each: number): Float32Array =>
    Float32Array.from({ length: 6 * each }, (_, i) => {
      const unit = Math.floor(i / each);
      return factors[unit] * own[(unit % 3) * each + (i % each)];
    });

  const net = (
    activate: (g: Builder, x: ReturnType<Builder["Relu"]>) => ReturnType<Builder["Relu"]>,
  ) =>
    layerModel(["N", 2, 8, 8], (g, x) => {
      const conv = g.Conv(
        x,
        g.constant(twins(normal(3 * 18), 18), { shape: [6, 2, 3, 3] }),
        g.constant(twins(normal(3), 1), { shape: [6] }),
      );
      const pooled = g.MaxPool(activate(g, conv), { kernel_shape: [2, 2], strides: [2, 2] });
      const flat = g.Flatten(pooled);
      const fc = g.Gemm(
        flat,
        g.constant(twins(normal(3 * 54), 54), { shape: [6, 54] }),
        g.constant(twins(normal(3), 1), { shape: [6] }),
        { transB: 1 },
      );
      return g.MatMul(g.LeakyRelu(fc), g.constant(normal(24), { shape: [6, 4] }));
    });
  const x = tensor("float32", [5, 2, 8, 8], normal(640));
  const env = environmentOf(nets[0], { feeds: { x } });
  const run = async (model: Model, ratio: number) => {
    const before = await outputsOf(concat(writeModel(model)), { x });
    const { model: merged, bytes } = await apply(model, "merge-neurons", { ratio }, env);
    const shapes = weightsIn(merged).map(({ weight }) => weight.shape);
    return { shapes, error: relativeError(before, await outputsOf(bytes, { x })) };
  };

  test("multiples merge without a trace where the way between scales", async () => {
    const { shapes, error } = await run(
      net((g, conv) => g.Relu(conv)),
      0.5,
    );
    expect(shapes).toEqual([
      [3, 2, 3, 3],
      [3, 27],
      [3, 4],
    ]);
    expect(error).toBeLessThan(1e-5);
  });

  describe("against all pairs", () => {
    const [inputs, units, outputs] = [5, 24, 3];
    const w = normal(inputs * units);
    const a = normal(units * outputs);
    const model = layerModel(["N", inputs], (g, x) =>
      g.MatMul(
        g.Tanh(g.MatMul(x, g.constant(w, { shape: [inputs, units] }))),
        g.constant(a, { shape: [units, outputs] }),
      ),
    );
    const merges = mergesOf(w, a, outputs);
    const given = environmentOf(nets[0], {
      feeds: { x: tensor("float32", [2, inputs], normal(2 * inputs)) },
    });
    const readersOf = async (options: object): Promise<number[]> => {
      const merged = await apply(model, "merge-neurons", { ...options }, given);
      return [...weightsIn(merged.model)[1].weight.values];
    };

    test("the cheapest pair merges first", async () => {
      for (const count of [1, 2, 5, 12, 20]) {
        const found = await readersOf({ ratio: count / units + 1e-6 });
        const { left } = merges[count - 1];
        expect(found).toHaveLength(left.length);
        for (const [at, v] of left.entries()) expect(found[at]).toBeCloseTo(v, 5);
      }
    });

    test("the search for the mode leaves a weight as it is that two layers share", async () => {
      // The rows of the last weight are the pairs (t, c) of a neuron of either layer.
      const [T, C] = [units, 20];
      const others = normal(inputs * C);
      const last = normal(T * C * outputs);
      const paired = layerModel(["N", inputs], (g, x) => {
        const layer = (into: Float32Array, count: number, axis: number) => {
          const y = g.Tanh(g.MatMul(x, g.constant(into, { shape: [inputs, count] })));
          return g.Unsqueeze(y, g.ints([axis]));
        };
        const pairs = g.Flatten(g.Mul(layer(w, T, 2), layer(others, C, 1)));
        return g.MatMul(pairs, g.constant(last, { shape: [T * C, outputs] }));
      });
      /** Merges up to the mode; what is left of the outgoing weights. */
      const shrink = (into: Float32Array, out: Float32Array, width: number) => {
        const all = mergesOf(into, out, width);
        return Float32Array.from(all[belowMode(all.map(({ cost }) => cost)) - 1].left);
      };
      /** From [rows, columns, outputs] to [columns, rows, outputs]. */
      const swapped = (values: Float32Array, columns: number) => {
        const rows = values.length / columns / outputs;
        return values.map((_, i) => {
          const [c, r] = [Math.floor(i / outputs / rows), Math.floor(i / outputs) % rows];
          return values[(r * columns + c) * outputs + (i % outputs)];
        });
      };
      const first = shrink(w, last, C * outputs);
      const left = first.length / C / outputs;
      const expected = swapped(shrink(others, swapped(first, C), left * outputs), left);
      const { model: merged } = await apply(paired, "merge-neurons", { histogram: 1 }, given);
      const found = weightsIn(merged).at(-1)!.weight.values;
      expect(found).toHaveLength(expected.length);
      for (const [at, v] of expected.entries()) expect(found[at]).toBeCloseTo(v, 4);
    });

    test("the mode of the histogram of costs says how many merge, without data", async () => {
      const below = belowMode(merges.map(({ cost }) => cost));
      expect(below).toBeGreaterThan(2);
      expect(below).toBeLessThan(units / 2);
      expect(await readersOf({ histogram: 1, ratio: 0 })).toHaveLength((units - below) * outputs);
      const half = Math.round(below / 2);
      expect(await readersOf({ histogram: 0.5 })).toHaveLength((units - half) * outputs);
    });
  });

  test("elsewhere only equals do", async () => {
    const model = net((g, conv) => g.Sigmoid(conv));
    expect((await run(model, 0.17)).error).toBeLessThan(1e-5); // one of six: the pair of equals
    expect((await run(model, 0.5)).error).toBeGreaterThan(1e-3);
  });
});

describe("hash-weights", () => {
  test("values are spread evenly, signs as well, and neighbours do not go together", () => {
    const [count, size] = [100, 200000];
    const hash = { a: 12345677, b: 424242, count };
    const hits = new Uint32Array(2 * count);
    let [pairs, rows] = [0, 0];
    for (let i = 0; i < size; i++) {
      hits[hashOf(i, hash)]++;
      if (hashOf(i, hash) % count === hashOf(i + 1, hash) % count) pairs++;
      if (hashOf(i, hash) % count === hashOf(i + 256, hash) % count) rows++;
    }
    // chi^2 of 199 degrees of freedom: above 280 with probability 1e-4.
    const mean = size / hits.length;
    expect(hits.reduce((sum, n) => sum + (n - mean) ** 2 / mean, 0)).toBeLessThan(280);
    for (const seen of [pairs, rows]) {
      expect(Math.abs(seen - size / count) / Math.sqrt(size / count)).toBeLessThan(5);
    }
  });

  test("no other shared values fit better: each is a stationary point of the error", () => {
    const [hash, weights] = [{ a: 7654321, b: 99, count: 50 }, normal(1000)];
    const shared = meansOf(weights, hash);
    const error = (values: Float32Array): number =>
      weights.reduce((sum, w, i) => {
        const h = hashOf(i, hash);
        const v = h < 50 ? values[h] : -values[h - 50];
        return sum + (w - v) ** 2;
      }, 0);
    const least = error(shared);
    for (let k = 0; k < 50; k++) {
      for (const shift of [-0.01, 0.01]) {
        expect(error(shared.with(k, shared[k] + shift))).toBeGreaterThan(least);
      }
    }
  });

  const file = readFileSync(new URL("../../examples/lenet5.onnx", import.meta.url));
  const lenet = (): Model => readModel(file, { name: "lenet5.onnx" });

  test("the file has no index, and engine and reference compute the same weights from it", async () => {
    const env = environmentOf(nets[0]);
    const { model, bytes } = await apply(lenet(), "hash-weights", { ratio: 16 }, env);
    expect(bytes.length).toBeLessThan(file.length / 12);
    const feeds = nets[0].feeds(2);
    const values: Tensor[] = weightsIn(model).map(({ weight }) =>
      tensor("float32", weight.shape, weight.values),
    );
    // The same network with the weights that the reference computed, spelled out.
    const plain = lenet();
    for (const [i, { use }] of weightsIn(plain).entries()) {
      plain.graph.setConstant(use.value, values[i]);
    }
    const spelled = await outputsOf(concat(writeModel(plain)), feeds);
    expect(relativeError(spelled, await outputsOf(bytes, feeds))).toBeLessThan(1e-6);
  });

  test("learns: the shared values move, and stay shared", async () => {
    const [size, records] = [128, 64];
    const x = tensor("float32", [records, size], normal(records * size));
    const y = tensor("float32", [records, 32], normal(records * 32));
    const model = layerModel(["N", size], (g, value) =>
      g.MatMul(value, g.constant(normal(size * 32), { shape: [size, 32] })),
    );
    const env = environmentOf(nets[0], { training: tensorDataset({ x }, y), feeds: { x } });
    const steps: [MethodId, object][] = [
      ["hash-weights", { ratio: 4 }],
      ["train", { loss: "mse", epochs: 40, batch: 16, rate: 0.01, holdout: 0 }],
    ];
    let now = model;
    const errors: number[] = [];
    for (const [id, options] of steps) {
      const { model: next, bytes } = await apply(now, id, { ...options }, env);
      const found = (await outputsOf(bytes, { x })).y.floats();
      errors.push(found.reduce((sum, v, i) => sum + (v - y.floats()[i]) ** 2, 0));
      now = next;
    }
    expect(errors[1]).toBeLessThan(0.5 * errors[0]);
    const { values } = weightsIn(now)[0].weight;
    expect(new Set(values.map(Math.abs)).size).toBeLessThanOrEqual((size * 32) / 4);
  });
});
