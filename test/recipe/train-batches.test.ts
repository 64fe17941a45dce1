/** @file Batches, their parts and the last one of an epoch, against gradient descent in plain arithmetic. */
import { describe, expect, test } from "vitest";
import type { Dataset } from "../../src/data/dataset.ts";
import type { ReadContext } from "../../src/data/reader.ts";
import { sequenceDataset } from "../../src/data/sequences.ts";
import { cloneModel, type Model } from "../../src/ir/model.ts";
import { parseModel } from "../../src/ir/parse.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { trainModel } from "../../src/recipe/train.ts";
import { trainOptions } from "../../src/train/options.ts";
import { port } from "../data/folder.ts";
import { environmentOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const [records, inputs, outputs] = [11, 3, 2];
const random = createRandom(7);
const normal = (length: number) => Float32Array.from({ length }, () => random.normal());
const x = normal(records * inputs);
const y = normal(records * outputs);
const start = normal(inputs * outputs);

const linear = (batch: string | number = "N"): Model =>
  layerModel([batch, inputs], (g, value) =>
    g.Gemm(value, g.constant(start, { shape: [outputs, inputs] }), null, { transB: 1 }),
  );

/** The records, and the list of those that were read, batch by batch. */
function watched() {
  const read: number[][] = [];
  const base = tensorDataset(
    { x: tensor("float32", [records, inputs], x) },
    tensor("float32", [records, outputs], y),
    "numbers",
  );
  const data: Dataset = {
    ...base,
    read(indices) {
      read.push([...indices]);
      return base.read(indices);
    },
  };
  return { data, read };
}

const sgd = {
  loss: "mse",
  optimizer: "sgd",
  momentum: 0,
  rate: 0.1,
  schedule: "constant",
  holdout: 0,
} as const;

async function train(given: object, start: Model = linear()) {
  const model = cloneModel(start);
  const { data, read } = watched();
  const env = environmentOf(nets[0], { training: data });
  const options = trainOptions.parse({ ...sgd, ...given });
  const run = await trainModel(model, options, {}, env, { label: "1 train", original: start });
  // The first read finds out the task.
  return { ...run, model, read: read.slice(1) };
}

/** W <- W - rate * mean over the batch and the outputs of 2 (W x - y) x^T. */
function descend(weights: Float64Array, batch: readonly number[]): number {
  const gradient = new Float64Array(weights.length);
  let loss = 0;
  for (const i of batch) {
    for (let o = 0; o < outputs; o++) {
      let error = -y[i * outputs + o];
      for (let k = 0; k < inputs; k++) error += weights[o * inputs + k] * x[i * inputs + k];
      loss += error ** 2 / outputs / batch.length;
      for (let k = 0; k < inputs; k++) {
        gradient[o * inputs + k] += (2 * error * x[i * inputs + k]) / outputs / batch.length;
      }
    }
  }
  for (const [k, slope] of gradient.entries()) weights[k] -= sgd.rate * slope;
  return loss;
}

const weightOf = ({ graph }: Model) => {
  const [{ inputs: read }] = graph.sorted();
  return read[1]!.tensor!.floats();
};

describe("a batch has as many records as asked for, and an epoch takes all of them", () => {
  test.each([{}, { micro: 3 }])("%o", async (given) => {
    const { model, read, steps, curve } = await train({ batch: 5, epochs: 2, ...given });
    expect(steps).toBe(6);
    const seen = read.flat();
    for (const epoch of [seen.slice(0, records), seen.slice(records)]) {
      expect(epoch.toSorted((a, b) => a - b)).toEqual(Array.from({ length: records }, (_, i) => i));
    }
    const weights = Float64Array.from(start);
    const losses = [0, 5, 10, 11, 16, 21].map((from, at) =>
      descend(weights, seen.slice(from, [5, 10, 11, 16, 21, 22][at])),
    );
    for (const [k, w] of weightOf(model).entries()) expect(w).toBeCloseTo(weights[k], 5);
    for (const [at, { loss }] of curve.entries()) expect(loss).toBeCloseTo(losses[at], 5);
  });

  test("a model with a fixed batch takes whole ones, and says if there are too few", async () => {
    const { read, steps } = await train({ batch: 9, epochs: 1 }, linear(4));
    expect(read.map(({ length }) => length)).toEqual([4, 4]);
    expect(steps).toBe(1);
    await expect(train({ epochs: 1 }, linear(16))).rejects.toThrow(
      "no-records: numbers: leaves 11 records to train on, and the model takes 16 at a time",
    );
  });

  test("Dropout of a model for inference stays off", async () => {
    const dropped = layerModel(["N", inputs], (g, value) =>
      g.Gemm(
        g.Dropout(value, g.constant(0.5)),
        g.constant(start, { shape: [outputs, inputs] }),
        null,
        { transB: 1 },
      ),
    );
    const { model, read } = await train({ batch: 5, steps: 1 }, dropped);
    const weights = Float64Array.from(start);
    descend(weights, read[0]);
    const gemm = [...model.graph.nodes].find(({ op }) => op === "Gemm")!;
    for (const [k, w] of gemm.inputs[1]!.tensor!.floats().entries()) {
      expect(w).toBeCloseTo(weights[k], 5);
    }
  });

  test("sequences of different length train as if all had been padded to the longest", async () => {
    const ids = [[1], [2, 3, 1], [3, 2]];
    const table = Float32Array.from({ length: 8 }, (_, i) => Math.sin(i));
    const bag = parseModel(`<ir_version: 10, opset_import: ["" : 21]>
      g (int64[N,T] ids) => (float[N,2] y)
      <float[4,2] table = {${[...table].map((x) => x.toFixed(6))}}, int64[1] axis = {1}> {
        rows = Gather (table, ids)
        y = ReduceSum <keepdims: int = 0> (rows, axis)
      }`);
    const ports = [port(["N", "T"], "ids", "int64")];
    const tableOf = ({ graph }: Model) => [...graph.sorted()][0].inputs[0]?.tensor?.floats();
    const labels = Int32Array.of(1, 0, 1);
    const source = { length: 3, classes: null, labels, targets: null, ports, padding: [0] };
    const context = { spec: "ids", options: {} } as ReadContext;
    const ragged = sequenceDataset({ ...source, values: (i) => [ids[i]] }, context);
    const padded = tensorDataset(
      { ids: tensor("int64", [3, 3], [1, 0, 0, 2, 3, 1, 3, 2, 0]) },
      tensor("int64", [3], labels),
    );
    const [own, all] = await Promise.all(
      [ragged, padded].map(async (training) => {
        const model = cloneModel(bag);
        const options = trainOptions.parse({ ...sgd, loss: "cross-entropy", batch: 1, epochs: 2 });
        const around = { label: "1 train", original: bag };
        const { steps } = await trainModel(
          model,
          options,
          {},
          environmentOf(nets[0], { training }),
          around,
        );
        return { steps, table: [...(tableOf(model) ?? [])] };
      }),
    );
    expect(own).toEqual(all);
    expect(own.steps).toBe(6);
    expect(own.table).not.toEqual([...(tableOf(bag) ?? [])]);
  });

  test("a little of an epoch is at least one step", async () => {
    expect((await train({ batch: 5, epochs: 0.1 })).steps).toBe(1);
  });
});

describe("running statistics follow whole batches, the smaller last one too", () => {
  const normed = (): Model =>
    layerModel(["N", inputs], (g, value) => {
      const vector = (number: number) => g.constant(new Float32Array(inputs).fill(number));
      const norm = g.BatchNormalization(value, vector(1), vector(0), vector(0.5), vector(2));
      return g.Gemm(norm, g.constant(start, { shape: [outputs, inputs] }), null, { transB: 1 });
    });

  test.each([{}, { micro: 3 }])("as PyTorch's do: %o", async (given) => {
    const { model, read } = await train({ batch: 8, epochs: 1, ...given }, normed());
    const seen = read.flat();
    const mean = new Float64Array(inputs).fill(0.5);
    const variance = new Float64Array(inputs).fill(2);
    for (const batch of [seen.slice(0, 8), seen.slice(8)]) {
      for (let k = 0; k < inputs; k++) {
        const values = batch.map((i) => x[i * inputs + k]);
        const middle = values.reduce((a, b) => a + b, 0) / values.length;
        const squares = values.reduce((sum, v) => sum + (v - middle) ** 2, 0);
        mean[k] = 0.9 * mean[k] + 0.1 * middle;
        variance[k] = 0.9 * variance[k] + (0.1 * squares) / (values.length - 1);
      }
    }
    const [norm] = model.graph.sorted();
    const [found, spread] = norm.inputs.slice(3).map((value) => value!.tensor!.floats());
    for (let k = 0; k < inputs; k++) {
      expect(found[k]).toBeCloseTo(mean[k], 5);
      expect(spread[k]).toBeCloseTo(variance[k], 5);
    }
  });

  test("a record that is left alone is refused, as in PyTorch", async () => {
    await expect(train({ batch: 5, epochs: 1 }, normed())).rejects.toThrow(
      "bad-option: batch: leaves 1 record alone, and a normalization gets one value per channel",
    );
    expect((await train({ batch: 5, steps: 2 }, normed())).steps).toBe(2);
    expect((await train({ batch: 5, epochs: 1, batchnorm: "frozen" }, normed())).steps).toBe(3);
  });
});
