/** @file Losses over labels with padding, against gradient descent in plain arithmetic. */
import { describe, expect, test } from "vitest";
import { subset } from "../../src/data/dataset.ts";
import { cloneModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import type { Environment } from "../../src/recipe/environment.ts";
import { trainModel } from "../../src/recipe/train.ts";
import { trainOptions } from "../../src/train/options.ts";
import { environmentOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const [records, tokens, features, classes] = [5, 3, 4, 3];
const random = createRandom(11);
const normal = (length: number) => Float32Array.from({ length }, () => random.normal());
const x = normal(records * tokens * features);
const [start, taught] = [normal(features * classes), normal(features * classes)];

/** Scores x W for each token; x is [N, T, D], W [D, V]. */
const scores = (weights: Float32Array): Model =>
  layerModel(["N", tokens, features], (g, value) =>
    g.MatMul(value, g.constant(weights, { shape: [features, classes] })),
  );
const ignored = -100;
/** The third record is nothing but padding. */
const labels = [0, 1, ignored, 2, 2, 1, ignored, ignored, ignored, 0, ignored, 2, 1, 1, 0];

const sequences = (label: readonly number[] = labels) =>
  tensorDataset(
    { x: tensor("float32", [records, tokens, features], x) },
    tensor("int64", [records, tokens], label),
    "npz:text.npz",
  );

const sgd = {
  optimizer: "sgd",
  momentum: 0,
  rate: 0.1,
  schedule: "constant",
  holdout: 0,
  batch: records,
  steps: 4,
};

async function train(given: object, model: Model, changes: Partial<Environment>) {
  const trained = cloneModel(model);
  const env = environmentOf(nets[0], changes);
  const options = trainOptions.parse({ ...sgd, ...given });
  const run = await trainModel(trained, options, {}, env, { label: "1 train", original: model });
  const [{ inputs }] = trained.graph.sorted();
  return { ...run, weights: inputs[1]!.tensor!.floats() };
}

const softmax = (row: readonly number[], temperature = 1): number[] => {
  const powers = row.map((z) => Math.exp(z / temperature));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
};

/** The loss of one row and its slopes by the scores z, given the label and the teacher's scores. */
type RowLoss = (
  z: readonly number[],
  label: number,
  guide: readonly number[],
) => readonly [number, number[]];

const crossEntropy =
  (smoothing: number): RowLoss =>
  (z, label) => {
    const wanted = z.map((_, k) => (k === label ? 1 - smoothing : 0) + smoothing / classes);
    const p = softmax(z);
    const loss = -wanted.reduce((sum, share, k) => sum + share * Math.log(p[k]), 0);
    return [loss, p.map((share, k) => share - wanted[k])];
  };

/** T^2 KL(q || p), of slope T (p - q). */
const distilled =
  (t: number): RowLoss =>
  (z, _, guide) => {
    const [p, q] = [softmax(z, t), softmax(guide, t)];
    const loss = t * t * q.reduce((sum, share, k) => sum + share * Math.log(share / p[k]), 0);
    return [loss, p.map((share, k) => t * (share - q[k]))];
  };

const mixed =
  (alpha: number, a: RowLoss, b: RowLoss): RowLoss =>
  (...row) => {
    const [[soft, slopes], [hard, others]] = [a(...row), b(...row)];
    const mix = (u: number, v: number) => alpha * u + (1 - alpha) * v;
    return [mix(soft, hard), slopes.map((slope, k) => mix(slope, others[k]))];
  };

const squares: RowLoss = (z, _, guide) => [
  z.reduce((sum, s, k) => sum + (s - guide[k]) ** 2 / classes, 0),
  z.map((s, k) => (2 * (s - guide[k])) / classes),
];

/** Four steps of gradient descent on the mean over the rows that are no padding. */
function descend(loss: RowLoss, label = labels) {
  const weights = Float64Array.from(start);
  const scoreOf = (w: ArrayLike<number>, row: number) =>
    Array.from({ length: classes }, (_, k) =>
      Array.from({ length: features }, (_, d) => x[row * features + d] * w[d * classes + k]).reduce(
        (a, b) => a + b,
      ),
    );
  const rows = [...label.keys()].filter((row) => label[row] !== ignored);
  const losses = Array.from({ length: 4 }, () => {
    const gradient = new Float64Array(weights.length);
    let total = 0;
    for (const row of rows) {
      const [own, slopes] = loss(scoreOf(weights, row), label[row], scoreOf(taught, row));
      total += own / rows.length;
      for (const [i] of gradient.entries()) {
        const [d, k] = [Math.floor(i / classes), i % classes];
        gradient[i] += (x[row * features + d] * slopes[k]) / rows.length;
      }
    }
    for (const [i, slope] of gradient.entries()) weights[i] -= sgd.rate * slope;
    return total;
  });
  return { weights, losses };
}

const cases: Record<string, readonly [object, RowLoss]> = {
  "cross-entropy": [{ loss: "cross-entropy" }, crossEntropy(0)],
  "cross-entropy, smoothed": [{ loss: "cross-entropy", smoothing: 0.2 }, crossEntropy(0.2)],
  kd: [{ loss: "kd", temperature: 2, alpha: 0.7 }, mixed(0.7, distilled(2), crossEntropy(0))],
  "kd, smoothed": [
    { loss: "kd", temperature: 3, alpha: 0.4, smoothing: 0.2 },
    mixed(0.4, distilled(3), crossEntropy(0.2)),
  ],
  logits: [{ loss: "logits" }, squares],
};

describe("padding, labelled -100, counts in no loss", () => {
  const teacher = scores(taught);
  test.each(Object.entries(cases))("%s over tokens", async (_, [given, loss]) => {
    const expected = descend(loss);
    for (const micro of [0, 1]) {
      const run = await train({ ...given, micro }, scores(start), {
        training: sequences(),
        teacher,
      });
      for (const [i, w] of run.weights.entries()) expect(w).toBeCloseTo(expected.weights[i], 5);
      for (const [at, point] of run.curve.entries()) {
        expect(point.loss).toBeCloseTo(expected.losses[at], 5);
      }
    }
  });

  test.each(Object.entries(cases))("%s over records", async (_, [given, loss]) => {
    const flat = (weights: Float32Array): Model =>
      layerModel(["N", features], (g, value) =>
        g.MatMul(value, g.constant(weights, { shape: [features, classes] })),
      );
    const training = tensorDataset(
      { x: tensor("float32", [records * tokens, features], x) },
      tensor("int32", [records * tokens], labels),
    );
    const batch = { batch: records * tokens, micro: 4 };
    const run = await train({ ...given, ...batch }, flat(start), {
      training,
      teacher: flat(taught),
    });
    const expected = descend(loss);
    for (const [i, w] of run.weights.entries()) expect(w).toBeCloseTo(expected.weights[i], 5);
  });

  test("a single score: an ignored record counts neither", async () => {
    const one = normal(features);
    const model = layerModel(["N", features], (g, value) =>
      g.MatMul(value, g.constant(one, { shape: [features, 1] })),
    );
    const own = [1, 0, ignored, 1];
    const input = x.slice(0, 4 * features);
    const training = tensorDataset(
      { x: tensor("float32", [4, features], input) },
      tensor("int32", [4], own),
    );
    const run = await train({ loss: "bce", batch: 4, steps: 1 }, model, { training });
    for (const [d, w] of run.weights.entries()) {
      const slopes = [0, 1, 3].map((row) => {
        const z = one.reduce((sum, v, i) => sum + v * input[row * features + i], 0);
        return (1 / (1 + Math.exp(-z)) - own[row]) * input[row * features + d];
      });
      expect(w).toBeCloseTo(one[d] - (0.1 * slopes.reduce((a, b) => a + b, 0)) / 3, 5);
    }
  });
});

describe("labels that are no class are refused, with the record of the user's data", () => {
  const flat = layerModel(["N", features], (g, value) =>
    g.MatMul(value, g.constant(start, { shape: [features, classes] })),
  );
  const data = (label: number[]) =>
    tensorDataset(
      { x: tensor("float32", [label.length, features], x.slice(0, label.length * features)) },
      tensor("int32", [label.length], label),
      "csv:rows.csv",
    );
  const refused = (label: number, record: number) => ({
    code: "label-out-of-range",
    message: expect.stringContaining(
      `csv:rows.csv, record ${record}: label ${label} is not one of the model's 3 classes (0 to 2)`,
    ),
  });

  test.each([-1, 3, -2])("%d", async (wrong) => {
    const training = data([0, 1, 2, wrong, 1, 0, 2, 1]);
    for (const loss of ["cross-entropy", "kd"]) {
      const run = train({ loss, batch: 3 }, flat, { training, teacher: flat });
      await expect(run).rejects.toMatchObject(refused(wrong, 3));
    }
  });

  test("the number is that of the file, whatever part of it trains", async () => {
    const file = data([0, 1, 2, 9, 1, 0, 2, 1]);
    const training = subset(subset(file, [7, 6, 5, 4, 3, 2]), [5, 4, 3, 2]);
    await expect(train({ loss: "cross-entropy" }, flat, { training })).rejects.toMatchObject(
      refused(9, 3),
    );
  });

  test("where labels are known beforehand, before the first step, held-out ones too", async () => {
    const label = Int32Array.from([0, 1, 2, 0, 1, 0, 2, 1, 5]);
    let steps = 0;
    const training = { ...data([...label]), labels: label };
    const run = train({ loss: "cross-entropy", batch: 1, holdout: 0.3 }, flat, {
      training,
      onEvent() {
        steps++;
      },
    });
    await expect(run).rejects.toMatchObject(refused(5, 8));
    expect(steps).toBe(0);
  });

  test("a token is named by its record", async () => {
    const label = labels.with(10, -1);
    const run = train({ loss: "cross-entropy" }, scores(start), { training: sequences(label) });
    await expect(run).rejects.toThrow("npz:text.npz, record 3: label -1 is not one of");
  });
});

describe("targets meet the output in its own shape", () => {
  /** Scores x W, [N, 2], or its reshaping. */
  const wide = normal(features * 2);
  const model = (shape: readonly number[]): Model =>
    layerModel(["N", features], (g, value) =>
      g.Reshape(g.MatMul(value, g.constant(wide, { shape: [features, 2] })), g.ints(shape)),
    );
  const [rows, width] = [4, 2];
  const input = x.slice(0, rows * features);
  const target = Float32Array.from({ length: rows * width }, () => random.float());
  const score = (row: number, k: number) =>
    Array.from({ length: features }, (_, d) => input[row * features + d] * wide[d * 2 + k]).reduce(
      (a, b) => a + b,
    );
  /** W after one step, given the slope of the loss of one element by its score. */
  const moved = (slope: (z: number, t: number) => number) =>
    Array.from(wide, (w, i) => {
      const [d, k] = [Math.floor(i / 2), i % 2];
      const parts = Array.from({ length: rows }, (_, row) => {
        const own = slope(score(row, k), target[row * width + k]);
        return (own * input[row * features + d]) / (rows * width);
      });
      return w - 0.1 * parts.reduce((a, b) => a + b, 0);
    });
  const sigmoid = (z: number): number => 1 / (1 + Math.exp(-z));

  test.each([
    ["mse", [-1, 2], [rows, width, 1], (z: number, t: number) => 2 * (z - t)],
    ["mse", [-1, 2, 1], [rows, width], (z: number, t: number) => 2 * (z - t)],
    ["bce", [-1, 2], [rows, width], (z: number, t: number) => sigmoid(z) - t],
  ] as const)("%s, output %o, label %o", async (loss, shape, labelled, slope) => {
    const training = tensorDataset(
      { x: tensor("float32", [rows, features], input) },
      tensor("float32", labelled, target),
    );
    const expected = moved(slope);
    for (const micro of [0, 1]) {
      const given = { loss, batch: rows, steps: 1, micro };
      const { weights } = await train(given, model(shape), { training });
      for (const [i, w] of weights.entries()) expect(w).toBeCloseTo(expected[i], 5);
    }
  });

  test("mse of a single score against whole numbers", async () => {
    const one = normal(features);
    const single = layerModel(["N", features], (g, value) =>
      g.MatMul(value, g.constant(one, { shape: [features, 1] })),
    );
    const counts = [3, 0, -100, 7];
    const training = tensorDataset(
      { x: tensor("float32", [rows, features], input) },
      tensor("int64", [rows], counts),
    );
    const { weights } = await train({ loss: "mse", batch: rows, steps: 1 }, single, { training });
    for (const [d, w] of weights.entries()) {
      const slopes = counts.map((count, row) => {
        const z = one.reduce((sum, v, i) => sum + v * input[row * features + i], 0);
        return 2 * (z - count) * input[row * features + d];
      });
      const expected = one[d] - (0.1 * slopes.reduce((a, b) => a + b, 0)) / rows;
      expect(Math.abs(w - expected)).toBeLessThan(1e-5 * Math.max(1, Math.abs(expected)));
    }
  });

  test("logits of a single score, in a batch of an odd size", async () => {
    const [one, other] = [normal(features), normal(features)];
    const single = (values: Float32Array) =>
      layerModel(["N", features], (g, value) =>
        g.Sigmoid(g.MatMul(value, g.constant(values, { shape: [features, 1] }))),
      );
    const training = tensorDataset(
      { x: tensor("float32", [3, features], input.slice(0, 3 * features)) },
      tensor("int32", [3], [1, 0, 1]),
    );
    const { weights } = await train({ loss: "logits", batch: 3, steps: 1 }, single(one), {
      training,
      teacher: single(other),
    });
    for (const [d, w] of weights.entries()) {
      const slopes = [0, 1, 2].map((row) => {
        const error = one.reduce(
          (sum, v, i) => sum + (v - other[i]) * input[row * features + i],
          0,
        );
        return 2 * error * input[row * features + d];
      });
      expect(w).toBeCloseTo(one[d] - (0.1 * slopes.reduce((a, b) => a + b, 0)) / 3, 5);
    }
  });
});

test("hints join the loss with labels: hintweight * mean |s - t|^2 / mean t^2 (FitNets)", async () => {
  const [middle, rows] = [2, 6];
  const two = (first: Float32Array, second: Float32Array) =>
    layerModel(["N", features], (g, value) => {
      const hidden = g.MatMul(value, g.constant(first, { shape: [features, middle] }));
      return g.MatMul(hidden, g.constant(second, { shape: [middle, classes] }));
    });
  const [own, guide, second] = [normal(features * middle), normal(features * middle), normal(6)];
  const input = x.slice(0, rows * features);
  const training = tensorDataset(
    { x: tensor("float32", [rows, features], input) },
    tensor("int32", [rows], [0, 1, 2, 0, 1, 2]),
  );
  const given = { loss: "cross-entropy", batch: rows, steps: 1 };
  const changes = { training, teacher: two(guide, second) };
  const plain = await train(given, two(own, second), changes);
  const hinted = await train(
    { ...given, hints: ["layer1"], hintweight: 2 },
    two(own, second),
    changes,
  );
  const hidden = (weights: Float32Array, row: number, k: number) =>
    Array.from(
      { length: features },
      (_, d) => input[row * features + d] * weights[d * middle + k],
    ).reduce((a, b) => a + b);
  const places = Array.from({ length: rows * middle }, (_, i) => [i >> 1, i & 1] as const);
  const energy = places.reduce((sum, [row, k]) => sum + hidden(guide, row, k) ** 2, 0);
  for (const [i, w] of hinted.weights.entries()) {
    const [d, k] = [Math.floor(i / middle), i % middle];
    const slope = Array.from({ length: rows }, (_, row) => {
      const error = hidden(own, row, k) - hidden(guide, row, k);
      return (2 * error * input[row * features + d]) / energy;
    }).reduce((a, b) => a + b);
    expect(w - plain.weights[i]).toBeCloseTo(-0.1 * 2 * slope, 5);
  }
});
