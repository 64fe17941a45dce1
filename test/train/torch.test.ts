/**
 * @file Twenty steps beside PyTorch: pruned weights, clipping, decay, momenta, schedules, smoothing,
 * distillation, padding, BatchNorm and a smaller last batch, all at once. torch/reference.py made
 * the figures; it has the same formulas for records and weights.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Dataset } from "../../src/data/dataset.ts";
import type { Value } from "../../src/ir/graph.ts";
import { cloneModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { trainModel } from "../../src/recipe/train.ts";
import { trainOptions } from "../../src/train/options.ts";
import { environmentOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const { runs } = JSON.parse(
  readFileSync(new URL("torch/reference.json", import.meta.url), "utf8"),
) as { runs: Record<string, { losses: number[]; state: Record<string, number[]> }> };

const [records, batch, classes] = [23, 5, 3];

/** `factor` * sin(seed + ...) + `shift` in float32, as in reference.py. */
function wave(seed: number, shape: readonly number[], factor = 1, shift = 0): Float32Array {
  const size = shape.reduce((a, b) => a * b, 1);
  return Float32Array.from(
    { length: size },
    (_, i) => shift + factor * Math.fround(Math.sin(seed + 1.7 * i + ((0.3 * i * i) % 7))),
  );
}

/** Without the smaller half of the numbers. */
function masked(values: Float32Array): Float32Array {
  const limit = values.map(Math.abs).sort()[values.length / 2 - 1];
  return values.map((w) => (Math.abs(w) > limit ? w : 0));
}

const constant = (
  g: Builder,
  name: string,
  shape: readonly number[],
  values: Float32Array,
): Value => g.constant(values, { shape, name });

function images(seed: number, mask = masked): Model {
  return layerModel(["N", 1, 6, 6], (g, x) => {
    const vector = (name: string, at: number, shift: number, factor: number) =>
      constant(g, name, [4], wave(at, [4], factor, shift));
    const conv = g.Conv(
      x,
      constant(g, "conv.weight", [4, 1, 3, 3], mask(wave(seed, [4, 1, 3, 3], 0.5))),
    );
    const norm = g.BatchNormalization(
      conv,
      vector("norm.weight", seed + 2, 1, 0.2),
      vector("norm.bias", seed + 3, 0, 0.1),
      constant(g, "norm.running_mean", [4], new Float32Array(4)),
      constant(g, "norm.running_var", [4], new Float32Array(4).fill(1)),
    );
    return g.Gemm(
      g.Flatten(g.Relu(norm)),
      constant(g, "linear.weight", [classes, 64], mask(wave(seed + 4, [classes, 64], 0.3))),
      constant(g, "linear.bias", [classes], wave(seed + 5, [classes], 0.1)),
      { transB: 1 },
    );
  });
}

/** Weights [out, in] as PyTorch has them; MatMul reads them transposed. */
function sequences(seed: number): Model {
  return layerModel(["N", 4, 6], (g, x) => {
    const linear = (input: Value, name: string, at: number, [out, into]: readonly number[]) => {
      const values = masked(wave(at, [out, into], 0.5));
      const turned = values.map((_, i) => values[(i % out) * into + Math.floor(i / out)]);
      const weight = constant(g, `${name}.weight`, [into, out], turned);
      return g.Add(
        g.MatMul(input, weight),
        constant(g, `${name}.bias`, [out], wave(at + 1, [out], 0.1)),
      );
    };
    const hidden = g.Relu(linear(x, "first", seed, [8, 6]));
    return linear(hidden, "second", seed + 2, [classes, 8]);
  });
}

/** The records in the order of reference.py, whatever the loop's own order is. */
function inOrder(data: Dataset): Dataset {
  // The first read finds out the task.
  let place = -batch;
  return {
    ...data,
    read(indices) {
      const own = indices.map(() => {
        const [epoch, i] = [Math.floor(place / records), place++ % records];
        return place <= 0 ? 0 : (7 * i + 3 * epoch) % records;
      });
      return data.read(own);
    },
  };
}

const numbers = (of: (i: number) => number) => Array.from({ length: records }, (_, i) => of(i));
const pictures = (label: number[]) =>
  inOrder(
    tensorDataset(
      { x: tensor("float32", [records, 1, 6, 6], wave(1, [records, 36])) },
      tensor("int64", [records], label),
    ),
  );
const known = numbers((i) => (i * i + 1) % classes);

const cases: Record<
  string,
  { model: Model; data: () => Dataset; options: object; teacher?: Model }
> = {
  adamw: {
    model: images(10),
    data: () => pictures(numbers((i) => (i % 6 ? (i * i) % classes : -100))),
    options: { optimizer: "adamw", rate: 0.02, decay: 0.1, smoothing: 0.1, clip: 0.5 },
  },
  nesterov: {
    model: images(20),
    data: () => pictures(known),
    options: {
      ...{ optimizer: "nesterov", rate: 0.1, momentum: 0.8, decay: 0.01, clip: 0.3 },
      ...{ schedule: "step", drop: 0.5, drops: 3 },
    },
  },
  kd: {
    model: images(30),
    data: () => pictures(known),
    teacher: images(40, (values) => values),
    options: {
      ...{ loss: "kd", temperature: 3, alpha: 0.6, smoothing: 0.1, clip: 1 },
      ...{ optimizer: "adam", rate: 0.01, momentum: 0.8, beta2: 0.99, decay: 0.05 },
      schedule: "linear",
      // No change, but the teacher is asked anew: its cache goes by the loop's own numbers.
      augment: "shift=0",
    },
  },
  tokens: {
    model: sequences(50),
    data: () =>
      inOrder(
        tensorDataset(
          { x: tensor("float32", [records, 4, 6], wave(2, [records, 24])) },
          tensor(
            "int64",
            [records, 4],
            numbers((i) => i).flatMap((i) =>
              [0, 1, 2, 3].map((t) => (t < i % 5 ? (i + t) % classes : -100)),
            ),
          ),
        ),
      ),
    options: { optimizer: "sgd", rate: 0.2, decay: 0.001, clip: 0.4, schedule: "constant" },
  },
};

describe.each(Object.entries(cases))("%s", (name, { model, data, options, teacher }) => {
  test("the losses and all that learned are PyTorch's", async () => {
    const { losses, state } = runs[name];
    const trained = cloneModel(model);
    const env = environmentOf(nets[0], { training: data(), teacher: teacher ?? null });
    const given = trainOptions.parse({ batch, epochs: 4, holdout: 0, keep: "last", ...options });
    const run = await trainModel(trained, given, {}, env, { label: "1 train", original: model });
    expect(run.steps).toBe(20);
    expect(run.curve).toHaveLength(20);
    for (const [i, { loss }] of run.curve.entries()) expect(loss).toBeCloseTo(losses[i], 5);
    const found = [...trained.graph.constants].filter((value) => state[value.name]);
    expect(found).toHaveLength(Object.keys(state).length);
    for (const { name, tensor } of found) {
      const { shape } = tensor!;
      const isTurned = /^(first|second)\.weight$/.test(name);
      for (const [i, w] of tensor!.floats().entries()) {
        const [into, out] = shape;
        const at = isTurned ? (i % out) * into + Math.floor(i / out) : i;
        expect(w).toBeCloseTo(state[name][at], 5);
      }
    }
  });
});
