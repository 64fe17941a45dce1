/** @file Decompositions of convolutions, against their kernels multiplied out and their outputs. */
import { describe, expect, test } from "vitest";
import { decomposeCp } from "../../src/factor/cp.ts";
import type { Decompose, Decomposition, Evidence } from "../../src/factor/decomposition.ts";
import { decomposeDepthwise } from "../../src/factor/depthwise.ts";
import { decomposeSeparable } from "../../src/factor/separable.ts";
import { decomposeTucker } from "../../src/factor/tucker.ts";
import type { Value } from "../../src/ir/graph.ts";
import type { Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import type { Chain } from "../../src/layers/chain.ts";
import type { Layer } from "../../src/layers/matrix.ts";
import { svd } from "../../src/numeric/svd.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { kernelOf, normal, sizeOf, stage } from "../layers/kernels.ts";
import { apart, open, replaced } from "../layers/replaced.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { relativeError } from "../support/error.ts";
import { layerModel, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const unknown: Evidence = { whitener: null, gains: null };
const [N, C] = [9, 7];
const INPUT = [11, 12, 13];
const SIDES = [3, 2, 4];

const constant = (g: Builder, shape: readonly number[], values: Float64Array): Value =>
  g.constant(tensor("float32", shape, values));

/** One convolution over as many axes as the kernel has. */
function convOf(shape: readonly number[], values: Float64Array, attributes = {}): Model {
  const [outputs, inputs, ...sides] = shape;
  return layerModel(["N", inputs, ...INPUT.slice(0, sides.length)], (g, x) => {
    const bias = g.constant(normal(outputs));
    return g.Conv(x, constant(g, shape, values), bias, attributes);
  });
}

const layerIn = (model: Model): Layer => open(model) as Layer;
const squares = (x: Float64Array): number => x.reduce((sum, v) => sum + v * v, 0);
const gap = (a: Float64Array, b: ArrayLike<number>): Float64Array => a.map((x, i) => x - b[i]);

const settings = { multiple: 1, guard: 1e-9 };
const decompositions: Record<string, Decompose<typeof settings>> = {
  separable: (layer, evidence, options) => decomposeSeparable(layer, evidence, options),
  "separable, last axis first": (layer, evidence, options) =>
    decomposeSeparable(layer, evidence, options, layer.kernel.length - 1),
  depthwise: decomposeDepthwise,
  tucker: decomposeTucker,
  cp: decomposeCp,
};

const found = async (name: string, layer: Layer, evidence = unknown): Promise<Decomposition> => {
  const result = await decompositions[name](layer, evidence, settings);
  if (typeof result === "string") throw new Error(result);
  if (!("chainAt" in result)) throw new Error("a stored form");
  return result;
};

describe.each(Object.keys(decompositions))("%s", (name) => {
  const axes = name === "tucker" || name === "cp" ? [1, 2, 3] : [2, 3];

  test.each(axes)("leaves the error that it tells, over %i axes", async (rank) => {
    const sides = SIDES.slice(0, rank);
    const values = normal(N * C * sizeOf(sides));
    const layer = layerIn(convOf([N, C, ...sides], values));
    const one = await found(name, layer);
    expect(one.energy).toBeCloseTo(squares(values), 9);
    let last = { error: Infinity, parameters: 0 };
    for (const [i, point] of one.points.entries()) {
      expect(point.error).toBeLessThanOrEqual(last.error);
      expect(point.parameters).toBeGreaterThan(last.parameters);
      last = point;
      // Multiplying kernels out by definition is slow.
      if (i % Math.ceil(one.points.length / 7) > 0) continue;
      const chain = (await one.chainAt(point)) as Chain;
      const error = squares(gap(values, kernelOf(chain, C, sides).values));
      // Iterating lowers the bound of Tucker; CP between its probes is an estimate.
      const isExact = name.startsWith("separable") || name === "depthwise";
      if (isExact) expect(error).toBeCloseTo(point.error, 8);
      if (name === "tucker") expect(error).toBeLessThanOrEqual(point.error + 1e-9);
      if (name === "cp") expect(Math.abs(error - point.error)).toBeLessThan(0.1 * one.energy);
      const stages = chain as readonly { shape: readonly number[] }[];
      expect(stages.reduce((sum, { shape }) => sum + sizeOf(shape), 0)).toBe(point.parameters);
    }
    expect(last.error).toBeLessThan(1e-9 * one.energy);
  });

  test("gives the layer's outputs at full rank, whatever the stride, padding and dilation", async () => {
    const planted: Record<string, Chain> = {
      depthwise: [stage("a", [2 * C, 1, 3, 2], { groups: C }), stage("b", [N, 2 * C, 1, 1])],
      tucker: [stage("a", [4, C, 1, 1]), stage("b", [5, 4, 3, 2]), stage("c", [N, 5, 1, 1])],
      cp: [
        stage("a", [3, C, 1, 1]),
        stage("b", [3, 1, 3, 1], { groups: 3 }),
        stage("c", [3, 1, 1, 2], { groups: 3 }),
        stage("d", [N, 3, 1, 1]),
      ],
    };
    const [first, second] =
      name === "separable"
        ? [
            [3, 1],
            [1, 2],
          ]
        : [
            [1, 2],
            [3, 1],
          ];
    const chain = planted[name] ?? [stage("a", [3, C, ...first]), stage("b", [N, 3, ...second])];
    const { values } = kernelOf(chain, C, [3, 2]);
    for (const geometry of [
      { pads: [1, 1, 1, 1] },
      { strides: [2, 3], pads: [1, 0, 2, 1] },
      { dilations: [2, 3], pads: [0, 2, 1, 0] },
      { auto_pad: "SAME_UPPER", strides: [2, 1] },
    ]) {
      const model = convOf([N, C, 3, 2], values, geometry);
      const one = await found(name, layerIn(model));
      const point = one.points.find(({ error }) => error < 1e-6 * one.energy);
      const chosen = point ?? one.points[one.points.length - 1];
      expect(chosen.parameters).toBeLessThan(N * C * 6);
      const { model: after } = replaced(model, await one.chainAt(chosen));
      // Least squares for CP stop where a sweep gains less than 1e-5 of the energy.
      expect(await apart(model, after)).toBeLessThan(name === "cp" ? 0.01 : 1e-5);
    }
  });

  test("weighs inputs by their moments and outputs by their gains", async () => {
    const sides = [3, 2];
    const values = normal(N * C * 6);
    const layer = layerIn(convOf([N, C, ...sides], values));
    const head = name === "separable" ? [0] : name.startsWith("separable") ? [1] : [];
    // Inputs alike at all tails (of depthwise filters the channels): S[(c, p), (c', p')] = L[(c, h), (c', h')] where tails agree.
    const isDepthwise = name === "depthwise";
    const heads = isDepthwise ? 6 : C * sizeOf(head.map((axis) => sides[axis]));
    const lower = normal(heads * heads).map((x, at) => {
      const [i, j] = [Math.floor(at / heads), at % heads];
      return i === j ? 1 + x * x : i > j ? 0.4 * x : 0;
    });
    const place = (column: number): { head: number; tail: number } => {
      const [c, i, j] = [Math.floor(column / 6), Math.floor((column % 6) / 2), column % 2];
      if (isDepthwise) return { head: column % 6, tail: c };
      if (head.length === 0) return { head: c, tail: i * 2 + j };
      return head[0] === 0 ? { head: c * 3 + i, tail: j } : { head: c * 2 + j, tail: i };
    };
    const factor = new Float64Array((C * 6) ** 2);
    for (let at = 0; at < factor.length; at++) {
      const [a, b] = [place(Math.floor(at / (C * 6))), place(at % (C * 6))];
      if (a.tail === b.tail) factor[at] = lower[a.head * heads + b.head];
    }
    const gains = normal(N).map((x) => 0.1 + x * x);
    const weighted = (w: Float64Array): Float64Array =>
      w.map((_, at) => {
        const [o, column] = [Math.floor(at / (C * 6)), at % (C * 6)];
        let sum = 0;
        for (let k = 0; k < C * 6; k++) sum += w[o * C * 6 + k] * factor[k * C * 6 + column];
        return Math.sqrt(gains[o]) * sum;
      });
    const evidence = { whitener: { columns: C * 6, factor }, gains };
    const one = await found(name, layer, evidence);
    const plain = await found(name, layer);
    expect(one.energy).toBeCloseTo(squares(weighted(values)), 7);
    let [own, others] = [0, 0];
    for (const point of one.points) {
      const chain = await one.chainAt(point);
      const error = squares(weighted(gap(values, kernelOf(chain, C, sides).values)));
      if (name.startsWith("separable") || isDepthwise)
        expect(error / one.energy).toBeCloseTo(point.error / one.energy, 8);
      if (name === "tucker") expect(error).toBeLessThanOrEqual(point.error + 1e-9 * one.energy);
      const same = plain.points.find(({ ranks }) => `${ranks}` === `${point.ranks}`);
      if (!same) continue;
      own += error;
      const without = kernelOf(await plain.chainAt(same), C, sides).values;
      others += squares(weighted(gap(values, without)));
    }
    expect(own).toBeLessThan(0.99 * others);
  });
});

test("the best separable filters leave the dropped singular values of [(c, i), (j, n)]", () => {
  const values = normal(N * C * 12);
  const layer = layerIn(convOf([N, C, 3, 4], values));
  const matrix = new Float64Array(values.length);
  for (let n = 0; n < N; n++)
    for (let c = 0; c < C; c++)
      for (let i = 0; i < 3; i++)
        for (let j = 0; j < 4; j++)
          matrix[(c * 3 + i) * 4 * N + j * N + n] = values[((n * C + c) * 3 + i) * 4 + j];
  const { s } = svd(matrix, C * 3, 4 * N);
  const one = decomposeSeparable(layer, unknown, settings) as Decomposition;
  expect(one.points.length).toBe(C * 3);
  for (const { ranks, error } of one.points) {
    expect(error).toBeCloseTo(squares(s.slice(ranks[0])), 8);
  }
});

test("with records, the second factor is the best one for the outputs", async () => {
  const columns = C * 6;
  const values = normal(N * columns);
  const layer = layerIn(convOf([N, C, 3, 2], values));
  const factor = normal(columns ** 2).map((x, at) => {
    const [i, j] = [Math.floor(at / columns), at % columns];
    return i === j ? 1 + x * x : i > j ? 0.5 * x : 0;
  });
  const loss = (chain: Chain): number => {
    const error = gap(values, kernelOf(chain, C, [3, 2]).values);
    let sum = 0;
    for (let o = 0; o < N; o++) {
      for (let j = 0; j < columns; j++) {
        let y = 0;
        for (let k = 0; k < columns; k++) y += error[o * columns + k] * factor[k * columns + j];
        sum += y * y;
      }
    }
    return sum;
  };
  const evidence = { whitener: { columns, factor }, gains: null };
  for (const axis of [0, 1]) {
    const [fitted, plain] = await Promise.all(
      [true, false].map(async (fits) => {
        const one = decomposeSeparable(layer, evidence, { multiple: 1, fits }, axis);
        const { points, chainAt } = one as Decomposition;
        return (await chainAt(points[4])) as ReturnType<typeof stage>[];
      }),
    );
    const least = loss(fitted);
    expect(least).toBeLessThan(0.99 * loss(plain));
    const [first, second] = fitted;
    for (let at = 0; at < second.values.length; at += 7) {
      for (const step of [-1e-3, 1e-3]) {
        const moved = Float64Array.from(second.values);
        moved[at] += step;
        expect(loss([first, { ...second, values: moved }])).toBeGreaterThan(least);
      }
    }
  }
});

test("with records, ranks beyond that of the kernel change nothing", async () => {
  const thin = kernelOf([stage("a", [2, C, 3, 1]), stage("b", [N, 2, 1, 2])], C, [3, 2]).values;
  const columns = C * 6;
  const factor = Float64Array.from(
    { length: columns ** 2 },
    (_, at) => +(at % (columns + 1) === 0),
  );
  const evidence = { whitener: { columns, factor }, gains: null };
  for (const values of [thin, new Float64Array(thin.length)]) {
    const layer = layerIn(convOf([N, C, 3, 2], values));
    const one = decomposeSeparable(layer, evidence, { multiple: 1, fits: true }) as Decomposition;
    for (const point of [one.points[1], one.points[5], one.points.at(-1)!]) {
      const rebuilt = kernelOf((await one.chainAt(point)) as Chain, C, [3, 2]).values;
      expect(squares(gap(values, rebuilt))).toBeLessThanOrEqual(1e-9 * squares(values));
    }
  }
});

describe("methods", () => {
  const env = environmentOf(nets[0], { calibration: null });
  const ids = ["factor-bn", "factor-separable", "factor-cp", "factor-tucker"] as const;
  const sides = [3, 3];
  const shape = [24, 20, ...sides];
  const weak = kernelOf([stage("a", [4, 20, 3, 1]), stage("b", [24, 4, 1, 3])], 20, sides).values;

  test.each(ids)("%s keeps what the energy asks for", async (id) => {
    const model = convOf(shape, weak, { pads: [1, 1, 1, 1] });
    const { model: after, bytes } = await apply(model, id, { energy: 0.999 }, env);
    expect(weightsIn(after).length).toBe(id === "factor-cp" ? 4 : id === "factor-tucker" ? 3 : 2);
    const feeds = { x: tensor("float32", [2, 20, 11, 12], normal(2 * 20 * 132)) };
    const before = await outputsOf(
      (await apply(model, id, { energy: 1, only: [] }, env)).bytes,
      feeds,
    );
    expect(relativeError(before, await outputsOf(bytes, feeds))).toBeLessThan(0.1);
  });

  test.each(ids)("%s says why a layer stays", async (id) => {
    const reasons = async (model: Model, options = {}): Promise<string[]> =>
      (await apply(model, id, options, env)).skipped.map(({ reason }) => reason);
    const linear = layerModel(["N", 40], (g, x) =>
      g.MatMul(x, constant(g, [40, 30], normal(1200))),
    );
    expect(await reasons(linear)).toEqual([
      "is a linear layer, a plain matrix: truncated SVD factors it",
    ]);
    const grouped = layerModel(["N", 20, 9, 9], (g, x) =>
      g.Conv(x, constant(g, [24, 10, 3, 3], normal(2160)), null, { group: 2 }),
    );
    expect(await reasons(grouped)).toEqual(["is a grouped convolution"]);
    const point = convOf([40, 30, 1, 1], normal(1200));
    expect(await reasons(point)).toEqual([
      "has a kernel of a single position: truncated SVD factors it",
    ]);
    const flat = convOf(shape, normal(sizeOf(shape)));
    const [why] = await reasons(flat, { energy: 0.9999 });
    expect(why).toMatch(
      id === "factor-tucker"
        ? /^needs ranks 24 x 20: 4320 weights and \d+ multiply-accumulates, now 4320 and \d+$/
        : /^needs rank \d+; (only \d+ or less|no rank) would save work$/,
    );
  });

  test.each([...ids, "factor-dictionary"] as const)(
    "%s leaves a kernel of zeros one",
    async (id) => {
      const model = convOf(shape, new Float64Array(sizeOf(shape)));
      const feeds = { x: tensor("float32", [2, 20, 11, 12], normal(2 * 20 * 132)) };
      const before = await outputsOf(concat(writeModel(model)), feeds);
      for (const options of [{}, { ranks: "share", budget: 0.5 }, { ranks: "pool" }]) {
        const { bytes, skipped } = await apply(model, id, options, env);
        expect(relativeError(before, await outputsOf(bytes, feeds))).toBe(0);
        for (const { reason } of skipped) expect(reason).toMatch(/^has only zeros, /);
      }
    },
  );

  test.each(ids)("%s takes ranks from noise or from a share", async (id) => {
    const core = [stage("a", [4, 20, 1, 1]), stage("b", [5, 4, 3, 3]), stage("c", [24, 5, 1, 1])];
    const planted = id === "factor-tucker" ? kernelOf(core, 20, sides).values : weak;
    const noise = normal(planted.length, 0.02);
    const noisy = planted.map((x, i) => x + noise[i]);
    const model = convOf(shape, noisy, { pads: [1, 1, 1, 1] });
    const by = async (options: object) => {
      const { model: after, skipped } = await apply(model, id, { multiple: 1, ...options }, env);
      const shapes = weightsIn(after).map(({ weight }) => weight.shape);
      return { shapes, skipped, size: shapes.reduce((sum, own) => sum + sizeOf(own), 0) };
    };
    const found = await by({ ranks: "vbmf" });
    if (id === "factor-cp") expect(found.skipped[0].reason).toMatch("variational Bayes");
    else expect(found.shapes[0][0]).toBe(4);
    if (id === "factor-tucker") expect(found.shapes[1]).toEqual([5, 4, 3, 3]);
    for (const budget of [0.2, 0.5, 0.8]) {
      const { size } = await by({ ranks: "share", budget });
      const most = budget * noisy.length;
      expect(size).toBeLessThanOrEqual(most);
      // One rank more, of those that are offered, would be too large.
      expect(size).toBeGreaterThan(most - 260);
    }
  });

  test("a normalization between the factors leaves the function as it is", async () => {
    const model = convOf(shape, weak, { pads: [1, 1, 1, 1] });
    const feeds = { x: tensor("float32", [16, 20, 11, 12], normal(16 * 20 * 132)) };
    const data = environmentOf(nets[0], { calibration: tensorDataset(feeds) });
    const plain = await apply(model, "factor-bn", { energy: 0.999 }, data);
    const normed = await apply(model, "factor-bn", { energy: 0.999, norm: true }, data);
    const ops = [...normed.model.graph.sorted()].map(({ op }) => op);
    expect(ops).toEqual(["Conv", "BatchNormalization", "Conv"]);
    const expected = await outputsOf(plain.bytes, feeds);
    expect(relativeError(expected, await outputsOf(normed.bytes, feeds))).toBeLessThan(1e-5);
    await expect(apply(model, "factor-bn", { norm: true }, env)).rejects.toThrow("needs-data");
  });
});
