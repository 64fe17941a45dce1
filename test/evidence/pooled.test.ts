/**
 * @file Statistics over calibration records do not depend on how the records are divided into
 * batches: 65 records as 64 and 1, as one batch, or in batches that the model fixes.
 */
import { expect, test } from "vitest";
import { type Candidate, candidatesOf } from "../../src/channels/candidates.ts";
import { coupleChannels } from "../../src/channels/couple.ts";
import { criteria } from "../../src/channels/criteria.ts";
import { renormalize } from "../../src/channels/renormalize.ts";
import { bySensitivity } from "../../src/channels/sensitivity.ts";
import type { Context } from "../../src/context.ts";
import { momentsOf } from "../../src/evidence/moments.ts";
import { outputsOf } from "../../src/evidence/output-shift.ts";
import { meansOf, spreadsOf } from "../../src/evidence/pooled.ts";
import { whitenersOf } from "../../src/evidence/whitener.ts";
import { equalize } from "../../src/int8/equalize.ts";
import { planInt8 } from "../../src/int8/plan.ts";
import { observeMeans, observeRanges } from "../../src/int8/ranges.ts";
import type { Value } from "../../src/ir/graph.ts";
import type { Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import type { Layer } from "../../src/layers/matrix.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { inferModel } from "../../src/ops/infer.ts";
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
const env = environmentOf(nets[0], { calibration: tensorDataset({ x }), feeds: {} });

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

const context = {
  observe: createObserve(env, () => {}, "test"),
  hasCalibration: true,
  target: "node",
  skip() {},
  warn() {},
  group() {},
  async progress() {},
} as unknown as Context;
const { observe } = context;

const conv = (model: Model): Value =>
  [...model.graph.nodes].filter(({ op }) => op === "Conv")[1].output;
const constantsOf = (model: Model): number[] =>
  [...model.graph.sorted()].flatMap(({ inputs }) =>
    inputs.flatMap((input) =>
      input?.tensor?.dtype === "float32" ? [...input.tensor.floats()] : [],
    ),
  );
const everything = { only: [], except: [] };

async function pruned(model: Model, options: Readonly<Record<string, unknown>>): Promise<number[]> {
  const given = { ratio: 0.5, round: 1, criterion: "l2", ...options };
  return constantsOf((await apply(model, "prune-channels", given, env)).model);
}

const candidates = (model: Model): Candidate[] =>
  candidatesOf(model, coupleChannels(model)).filter(({ group }) => !group.pinned);

async function scores(model: Model, id: "activation" | "lasso" | "reconstruction") {
  const found = await criteria[id].score(candidates(model), model, context, RECORDS);
  return found.flatMap((score) => [...(score as Float64Array)]);
}

const moments = async (model: Model, kind: "gram" | "squares"): Promise<number[]> => {
  const found = await momentsOf(model, layersOf(model, everything, context), kind, 999, context);
  return [...found.values()].flatMap((own) => {
    if (typeof own === "string") throw new Error(own);
    return own.groups.flatMap((group) => [...group]);
  });
};

const plan = (model: Model) =>
  planInt8(model, { ...everything, ops: "all", floatDepthwise: false }, context);

const ranges = async (model: Model, kind: "minmax" | "entropy" | "mse"): Promise<number[]> => {
  const values = [...plan(model).values.keys()];
  const found = await observeRanges(model, values, { kind }, observe);
  return [...found.values()].flatMap(({ min, max }) => [min, max]);
};

/** Every statistic, as a list of numbers. */
const statistics: Record<
  string,
  (net: typeof network) => (batch: number | "N") => Promise<number[]>
> = {
  "means of channels": (net) => async (batch) => {
    const model = net(batch);
    const found = await meansOf(model, [{ value: conv(model), axis: 1 }], observe);
    return [...found.values()].flatMap((mean) => [...mean]);
  },
  "variances of channels": (net) => async (batch) => {
    const model = net(batch);
    const found = await spreadsOf(model, [{ value: conv(model), axis: 1 }], observe);
    return [...found.values()].flatMap(({ mean, variance }) => [...mean, ...variance]);
  },
  "second moments, diagonal": (net) => (batch) => moments(net(batch), "squares"),
  "second moments": (net) => (batch) => moments(net(batch), "gram"),
  whitening: () => async (batch) => {
    const model = folded(batch);
    const layers = [0, 1, 2].map((i) => open(model, i) as Layer);
    const options = { records: 999, damping: 0.01 };
    const found = await whitenersOf(model, layers, options, context);
    return [...found.values()].flatMap((own) => (typeof own === "string" ? [] : [...own.factor]));
  },
  "outputs, in the order of records": (net) => async (batch) =>
    (await outputsOf(net(batch), 999, observe)).flatMap((values) => [...values]),
  "means of magnitudes": (net) => (batch) => scores(net(batch), "activation"),
  lasso: (net) => (batch) => scores(net(batch), "lasso"),
  reconstruction: (net) => (batch) => scores(net(batch), "reconstruction"),
  sensitivity: () => async (batch) => {
    const model = folded(batch);
    const all = candidatesOf(model, coupleChannels(model));
    const own = all.filter(({ group }) => !group.pinned);
    const given = criteria.l2.score(own, model, context, 999) as Float64Array[];
    const trial = { repair: "bias", records: 999 } as const;
    const found = await bySensitivity(model, all, own, given, trial, context);
    return found.flatMap((score) => [...(score as Float64Array)]);
  },
  renormalization: (net) => async (batch) => {
    const model = net(batch);
    await renormalize(model, context, 999);
    return constantsOf(model);
  },
  "repair by means": () => (batch) => pruned(folded(batch), { repair: "bias" }),
  "repair by batch normalization": (net) => (batch) => pruned(net(batch), { repair: "batchnorm" }),
  "repair by least squares": () => (batch) => pruned(folded(batch), { repair: "least-squares" }),
  "int8: least and greatest": () => (batch) => ranges(folded(batch), "minmax"),
  "int8: entropy": () => (batch) => ranges(folded(batch), "entropy"),
  "int8: squared error": () => (batch) => ranges(folded(batch), "mse"),
  "int8: percentile": () => async (batch) => {
    const model = folded(batch);
    const values = [...plan(model).values.keys()];
    const percentile = { kind: "percentile", percentile: 99 } as const;
    const found = await observeRanges(model, values, percentile, observe);
    return [...found.values()].flatMap(({ min, max }) => [min, max]);
  },
  "int8: means before and after rounding": () => async (batch) => {
    const model = folded(batch);
    const own = plan(model);
    const params = new Map([...own.values.keys()].map((v) => [v, { scale: 0.3, zeroPoint: 9 }]));
    const found = await observeMeans(model, own, params, observe);
    return [...found.values()].flatMap(({ exact, error }) => [...exact, ...error]);
  },
  "int8: equalization": () => async (batch) => {
    const model = folded(batch);
    await equalize(model, plan(model), observe);
    return constantsOf(model);
  },
};

// 64: the last record fills a batch. 10: the last 5 fill one, each twice.
test.each(Object.entries(statistics))(
  "%s: batches are as one batch of all records",
  async (_, of) => {
    const whole = await of(network)(RECORDS);
    const top = whole.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    expect(whole.length).toBeGreaterThan(2);
    expect(top).toBeGreaterThan(0);
    for (const batch of ["N", 64, 10] as const) {
      const parts = await of(network)(batch);
      expect(parts.length).toBe(whole.length);
      const worst = whole.reduce((most, v, i) => Math.max(most, Math.abs(v - parts[i])), 0);
      expect(worst / top, `batches of ${batch}`).toBeLessThan(1e-4);
    }
  },
);

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
