/**
 * @file Statistics over calibration records do not depend on how the records are divided into
 * batches: 65 records as 64 and 1, as one batch, or in batches that the model fixes.
 */
import { expect, test } from "vitest";
import { candidatesOf } from "../../src/channels/candidates.ts";
import { coupleChannels } from "../../src/channels/couple.ts";
import { criteria } from "../../src/channels/criteria.ts";
import { renormalize } from "../../src/channels/renormalize.ts";
import { bySensitivity } from "../../src/channels/sensitivity.ts";
import type { Context } from "../../src/context.ts";
import { momentsOf } from "../../src/evidence/moments.ts";
import { outputsOf } from "../../src/evidence/output-shift.ts";
import { meansOf, spreadsOf } from "../../src/evidence/pooled.ts";
import { observeRanges } from "../../src/evidence/ranges.ts";
import { whitenersOf } from "../../src/evidence/whitener.ts";
import { equalize } from "../../src/int8/equalize.ts";
import { observeMeans } from "../../src/int8/means.ts";
import { planInt8 } from "../../src/int8/plan.ts";
import type { Value } from "../../src/ir/graph.ts";
import type { Model } from "../../src/ir/model.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import type { Layer } from "../../src/layers/matrix.ts";
import type { Calibrator } from "../../src/numeric/calibrate.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { inferModel } from "../../src/ops/infer.ts";
import type { Environment } from "../../src/recipe/environment.ts";
import { createObserve } from "../../src/recipe/observe.ts";
import { layersOf } from "../../src/weights/sites.ts";
import { open } from "../layers/replaced.ts";
import { apply, environmentOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const RECORDS = 65;
const SHAPE = [2, 6, 6];
const SIZE = 72;

const random = createRandom(8);
const normal = (size: number): Float32Array =>
  Float32Array.from({ length: size }, () => random.normal());

/** The last record is far from the others: it would count 65-fold if batches counted alike. */
const pixels = normal(RECORDS * SIZE);
for (let i = (RECORDS - 1) * SIZE; i < pixels.length; i++) pixels[i] = 6 * pixels[i] + 9;
const x = tensor("float32", [RECORDS, ...SHAPE], pixels);
const weights = [normal(8 * 18), normal(64), normal(3 * 128)].map((w, i) =>
  w.map((v) => v / [4, 8, 11][i]),
);

/** Two convolutions with normalizations, then a linear layer, for records in batches of `batch`. */
function network(batch: number | "N"): Model {
  const model = layerModel([batch, ...SHAPE], (g, input) => {
    const vector = (at: (i: number) => number): Value =>
      g.constant(Array.from({ length: 8 }, (_, i) => at(i)));
    const norm = (value: Value): Value =>
      g.BatchNormalization(
        value,
        ...[vector((i) => 1 + i / 8), vector((i) => i / 4 - 1)],
        ...[vector(() => 0.1), vector(() => 2)],
      );
    const conv = (value: Value, i: number, shape: readonly number[]): Value =>
      g.Conv(
        value,
        g.constant(weights[i], { shape }),
        vector((c) => c / 9),
      );
    const first = g.Relu(norm(conv(input, 0, [8, 2, 3, 3])));
    const second = g.Relu(norm(conv(first, 1, [8, 8, 1, 1])));
    return g.Gemm(g.Flatten(second), g.constant(weights[2], { shape: [128, 3] }));
  });
  inferModel(model);
  return model;
}

/** The same without normalizations, as it is where rewriting has folded them. */
function folded(batch: number | "N"): Model {
  return layerModel([batch, ...SHAPE], (g, input) => {
    const conv = (value: Value, i: number, shape: readonly number[]): Value =>
      g.Conv(value, g.constant(weights[i], { shape }), g.constant(new Float32Array(8).fill(0.1)));
    const hidden = g.Relu(conv(g.Relu(conv(input, 0, [8, 2, 3, 3])), 1, [8, 8, 1, 1]));
    return g.Gemm(g.Flatten(hidden), g.constant(weights[2], { shape: [128, 3] }));
  });
}

/** Calibration records, and what a method sees of them. */
interface Given {
  readonly env: Environment;
  readonly context: Context;
}

function givenBy(records: Tensor): Given {
  const env = environmentOf(nets[0], { calibration: tensorDataset({ x: records }), feeds: {} });
  const context = {
    observe: createObserve(env, () => {}, "test"),
    hasCalibration: true,
    target: env.target,
    skip() {},
    warn() {},
    group() {},
    async progress() {},
  } as unknown as Context;
  return { env, context };
}

type Batch = number | "N";
type Statistic = (batch: Batch, given: Given) => Promise<number[]>;

const conv = (model: Model): Value =>
  [...model.graph.nodes].filter(({ op }) => op === "Conv")[1].output;
const constantsOf = (model: Model): number[] =>
  [...model.graph.sorted()].flatMap(({ inputs }) =>
    inputs.flatMap((input) =>
      input?.tensor?.dtype === "float32" ? [...input.tensor.floats()] : [],
    ),
  );
const everything = { only: [], except: [] };

const pruned =
  (net: typeof network, options: Readonly<Record<string, unknown>>): Statistic =>
  async (batch, { env }) => {
    const all = { ratio: 0.5, round: 1, criterion: "group-l2", ...options };
    return constantsOf((await apply(net(batch), "prune-channels", all, env)).model);
  };

const scores =
  (id: "activation" | "lasso" | "obs" | "thinet"): Statistic =>
  async (batch, { context }) => {
    const model = network(batch);
    const candidates = candidatesOf(model, coupleChannels(model));
    const free = candidates.filter(({ group }) => !group.pinned);
    const found = await criteria[id].score(free, model, context, 999);
    return found.flatMap((score) => [...(score as Float64Array)]);
  };

const moments =
  (kind: "gram" | "squares"): Statistic =>
  async (batch, { context }) => {
    const model = network(batch);
    const found = await momentsOf(model, layersOf(model, everything, context), kind, 999, context);
    return [...found.values()].flatMap((own) => {
      if (typeof own === "string") throw new Error(own);
      return own.groups.flatMap((group) => [...group]);
    });
  };

const planOf = (model: Model, context: Context) =>
  planInt8(model, { ...everything, ops: "all", floatDepthwise: false }, context);

const ranges =
  (calibrator: Calibrator): Statistic =>
  async (batch, { context }) => {
    const model = folded(batch);
    const values = [...planOf(model, context).values.keys()];
    const found = await observeRanges(model, values, calibrator, context.observe);
    return [...found.values()].flatMap(({ min, max }) => [min, max]);
  };

/** Every statistic, as a list of numbers. */
const statistics: Record<string, Statistic> = {
  "means of channels": async (batch, { context }) => {
    const model = network(batch);
    const found = await meansOf(model, [{ value: conv(model), axis: 1 }], context.observe);
    return [...found.values()].flatMap((mean) => [...mean]);
  },
  "variances of channels": async (batch, { context }) => {
    const model = network(batch);
    const found = await spreadsOf(model, [{ value: conv(model), axis: 1 }], context.observe);
    return [...found.values()].flatMap(({ mean, variance }) => [...mean, ...variance]);
  },
  "second moments, diagonal": moments("squares"),
  "second moments": moments("gram"),
  whitening: async (batch, { context }) => {
    const model = folded(batch);
    const layers = [0, 1, 2].map((i) => open(model, i) as Layer);
    const options = { records: 999, damping: 0.01 };
    const found = await whitenersOf(model, layers, options, context);
    return [...found.values()].flatMap((own) => (typeof own === "string" ? [] : [...own.factor]));
  },
  "outputs, in the order of records": async (batch, { context }) =>
    (await outputsOf(network(batch), 999, context.observe)).flatMap((values) => [...values]),
  "means of magnitudes": scores("activation"),
  lasso: scores("lasso"),
  "optimal brain surgeon": scores("obs"),
  thinet: scores("thinet"),
  sensitivity: async (batch, { context }) => {
    const model = folded(batch);
    const all = candidatesOf(model, coupleChannels(model));
    const own = all.filter(({ group }) => !group.pinned);
    const given = criteria["group-l2"].score(own, model, context, 999) as Float64Array[];
    const trial = { repair: "bias", records: 999 } as const;
    const found = await bySensitivity(model, all, own, given, trial, context);
    return found.flatMap((score) => [...(score as Float64Array)]);
  },
  renormalization: async (batch, { context }) => {
    const model = network(batch);
    await renormalize(model, context, 999);
    return constantsOf(model);
  },
  "repair by means": pruned(folded, { repair: "bias" }),
  "repair by batch normalization": pruned(network, { repair: "batchnorm" }),
  "repair by least squares": pruned(folded, { repair: "least-squares" }),
  "int8: least and greatest": ranges({ kind: "minmax" }),
  "int8: entropy": ranges({ kind: "entropy" }),
  "int8: squared error": ranges({ kind: "mse" }),
  "int8: percentile": ranges({ kind: "percentile", percentile: 99 }),
  "int8: means before and after rounding": async (batch, { context }) => {
    const model = folded(batch);
    const plan = planOf(model, context);
    const params = new Map([...plan.values.keys()].map((v) => [v, { scale: 0.3, zeroPoint: 9 }]));
    const found = await observeMeans(model, plan, params, context.observe);
    return [...found.values()].flatMap(({ exact, error }) => [...exact, ...error]);
  },
  "int8: equalization": async (batch, { context }) => {
    const model = folded(batch);
    await equalize(model, planOf(model, context), context.observe);
    return constantsOf(model);
  },
};

/** The largest difference, as a share of the largest number. */
function gap(expected: readonly number[], actual: readonly number[]): number {
  expect(actual.length).toBe(expected.length);
  expect(expected.length).toBeGreaterThan(2);
  const top = expected.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  expect(top).toBeGreaterThan(0);
  return expected.reduce((most, v, i) => Math.max(most, Math.abs(v - actual[i])), 0) / top;
}

const given = givenBy(x);

// 64: the last record fills a batch. 10: the last 5 fill one, each twice.
test.each(Object.entries(statistics))("%s: batches are as one batch of all", async (_, of) => {
  const whole = await of(RECORDS, given);
  for (const batch of ["N", 64, 10] as const) {
    expect(gap(whole, await of(batch, given)), `batches of ${batch}`).toBeLessThan(1e-4);
  }
});

/** A statistic of the first 64 records, or of a third of them, changes a little with the others. */
const near = ["sensitivity", "repair by least squares", "int8: means", "int8: equalization"];

test.each(Object.entries(statistics))("%s: a broken record is as none", async (name, of) => {
  // One more record, the eleventh, with a single NaN; and one with an infinity before the last.
  const rows = Array.from({ length: RECORDS }, (_, i) => [
    ...pixels.subarray(i * SIZE, (i + 1) * SIZE),
  ]);
  const broken = (value: number) => rows[3].map((v, i) => (i === 40 ? value : v));
  rows.splice(10, 0, broken(Number.NaN));
  rows.splice(65, 0, broken(Number.NEGATIVE_INFINITY));
  const more = givenBy(tensor("float32", [RECORDS + 2, ...SHAPE], rows.flat()));
  const [whole, parts] = [await of("N", given), await of("N", more)];
  const limit = near.some((start) => name.startsWith(start)) ? 0.3 : 1e-4;
  expect(gap(whole, parts)).toBeLessThan(limit);
});

test("every element of a sequence weighs the same, whatever its record's length", async () => {
  // 64 records of 3 positions, then one of 7, which runs by itself.
  const rows = normal((64 * 3 + 7) * 4).map((v, i) => (i < 64 * 12 ? v : v * 5 + 3));
  const read = async (indices: readonly number[]) => {
    const length = indices[0] < 64 ? 3 : 7;
    const values = indices.flatMap((i) => [...rows.subarray(12 * i, 12 * i + 4 * length)]);
    const inputs = { x: tensor("float32", [indices.length, length, 4], Float32Array.from(values)) };
    return { inputs, label: null, size: indices.length };
  };
  const dataset = { ...tensorDataset({ x }), length: 65, read };
  const own = createObserve(environmentOf(nets[0], { calibration: dataset }), () => {}, "test");
  const model = layerModel(["N", "T", 4], (g, input) => g.Relu(input));
  const source = { value: model.graph.inputs[0], axis: 2 };
  const spread = (await spreadsOf(model, [source], own)).get(source);
  const n = rows.length / 4;
  for (let c = 0; c < 4; c++) {
    const column = rows.filter((_, i) => i % 4 === c);
    const mean = column.reduce((sum, v) => sum + v, 0) / n;
    const variance = column.reduce((sum, v) => sum + (v - mean) ** 2, 0) / n;
    expect(spread?.mean[c]).toBeCloseTo(mean, 5);
    expect(spread?.variance[c]).toBeCloseTo(variance, 4);
  }
});

test("a sample of a large value takes the same elements of each record in any batch", async () => {
  const large = tensor(
    "float32",
    [65, 1, 80, 80],
    normal(65 * 6400).map((v, i) => v * (1 + (i % 7))),
  );
  const dataset = tensorDataset({ x: large });
  const own = createObserve(environmentOf(nets[0], { calibration: dataset }), () => {}, "test");
  const found = [];
  for (const batch of [65, "N", 10] as const) {
    const model = layerModel([batch, 1, 80, 80], (g, input) => g.Relu(input));
    const [value] = model.graph.inputs;
    const percentile = { kind: "percentile", percentile: 95 } as const;
    found.push((await observeRanges(model, [value], percentile, own)).get(value));
  }
  expect(found[0]?.max).toBeGreaterThan(4);
  for (const range of found) expect(range?.max).toBeCloseTo(found[0]?.max as number, 6);
});

test("the variance is exact beside a mean whose square float32 cannot tell it from", async () => {
  const far = normal(65 * 3).map((v) => 4000 + v);
  const dataset = tensorDataset({ x: tensor("float32", [65, 3], far) });
  const own = createObserve(environmentOf(nets[0], { calibration: dataset }), () => {}, "test");
  const model = layerModel(["N", 3], (g, input) => g.Relu(input));
  const source = { value: model.graph.inputs[0], axis: 1 };
  const spread = (await spreadsOf(model, [source], own)).get(source);
  for (let c = 0; c < 3; c++) {
    const column = far.filter((_, i) => i % 3 === c);
    const mean = column.reduce((sum, v) => sum + v, 0) / 65;
    const variance = column.reduce((sum, v) => sum + (v - mean) ** 2, 0) / 65;
    expect((spread?.variance[c] as number) / variance).toBeCloseTo(1, 2);
  }
});
