/** @file Criteria of channels against their papers' definitions, computed in other ways. */
import { describe, expect, test } from "vitest";
import { candidatesOf } from "../../src/channels/candidates.ts";
import { coupleChannels } from "../../src/channels/couple.ts";
import { type CriterionId, criteria } from "../../src/channels/criteria.ts";
import { lassoPath } from "../../src/channels/lasso.ts";
import type { Value } from "../../src/ir/graph.ts";
import type { Model } from "../../src/ir/model.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { solveSpd } from "../../src/numeric/cholesky.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { layerModel } from "../support/layer.ts";
import { contextOf, contributionsOf, inner, nextLayers, numbers, total } from "./next-layers.ts";

/** The scores of the first group that can be pruned. */
async function scoresOf(id: CriterionId, model: Model, x: Tensor): Promise<number[]> {
  const all = candidatesOf(model, coupleChannels(model));
  const own = all.filter(({ group, makers }) => !group.pinned && makers.length > 0);
  const records = x.shape[0];
  const [scores] = await criteria[id].score(own, model, contextOf(model, x), records);
  if (typeof scores === "string") throw new Error(scores);
  return [...scores];
}

/** Units, lowest score first. */
const orderOf = (scores: readonly number[]): number[] =>
  [...scores.keys()].sort((a, b) => scores[a] - scores[b]);

const range = (length: number): number[] => Array.from({ length }, (_, i) => i);

describe.each(Object.entries(nextLayers))("%s", (_, net) => {
  const { model, x, units } = net;

  test("thinet removes the channel without which the next layers' error is least (eq. 6)", async () => {
    const z = await contributionsOf(net);
    const scores = await scoresOf("thinet", model, x);
    let removed: number[] = [];
    let most = 0;
    while (removed.length < units) {
      const errors = range(units).map((unit) => {
        if (removed.includes(unit)) return Number.POSITIVE_INFINITY;
        const lost = total(
          [...removed, unit].map((u) => z[u]),
          z[0],
        );
        return inner(lost, lost);
      });
      const best = orderOf(errors)[0];
      removed = [...removed, best];
      most = Math.max(most, errors[best] / net.widths.length);
      expect(Math.abs(scores[best] - most)).toBeLessThan(1e-4 * most);
    }
    expect(orderOf(scores)).toEqual(removed);
    // Without any channel the whole output is lost.
    expect(Math.max(...scores)).toBeGreaterThan(1 - 1e-4);
  });

  test("lasso: beta fulfils the conditions of the minimum at every lambda", async () => {
    const z = await contributionsOf(net);
    const gram = Float64Array.from(range(units * units), (at) =>
      inner(z[Math.floor(at / units)], z[at % units]),
    );
    let steps = 0;
    let isFilling = true;
    let before = 0;
    const supports: number[][] = [];
    for (const { lambda, beta } of lassoPath(gram, units)) {
      expect(violation(gram, beta, lambda)).toBeLessThan(1e-3);
      const support = range(units).filter((u) => beta[u] !== 0);
      isFilling &&= support.length >= before && (supports.at(-1) ?? []).every((u) => beta[u] !== 0);
      before = support.length;
      supports.push(support);
      steps++;
    }
    expect(steps).toBeGreaterThan(10);
    // As lambda falls, channels come in; those that come last are removed first.
    expect(supports[0]).toEqual([]);
    expect(supports.at(-1)).toHaveLength(units);
    expect(isFilling).toBe(true);
    const order = orderOf(await scoresOf("lasso", model, x)).reverse();
    for (const support of supports) {
      expect(order.slice(0, support.length).sort((a, b) => a - b)).toEqual(support);
    }
  });

  test("obs: the share of the readers' energy that is lost ends at all of it", async () => {
    const scores = await scoresOf("obs", model, x);
    expect(Math.abs(Math.max(...scores) - 1)).toBeLessThan(5e-3);
  });
});

/**
 * The largest violation of the conditions of the minimum over beta, as a share of lambda: the
 * subgradient of |y - sum beta_v z_v|^2 / 2 + lambda |beta|_1, y = sum z_v, has to contain zero.
 */
function violation(gram: Float64Array, beta: Float64Array, lambda: number): number {
  const units = beta.length;
  const each = range(units).map((u) => {
    const slope = range(units).reduce((s, v) => s + gram[u * units + v] * (1 - beta[v]), 0);
    return beta[u] === 0
      ? Math.max(0, Math.abs(slope) - lambda)
      : Math.abs(slope - lambda * Math.sign(beta[u]));
  });
  return Math.max(...each) / lambda;
}

test("lasso: channels that hang together closely are searched until nothing moves", () => {
  const [units, length] = [24, 30];
  const common = numbers(length);
  const z = range(units).map(() => numbers(length, 0.1).map((v, i) => v + common[i]));
  const gram = Float64Array.from(range(units * units), (at) => {
    const [a, b] = [z[Math.floor(at / units)], z[at % units]];
    return a.reduce((sum, v, i) => sum + v * b[i], 0) / units ** 2 / length;
  });
  for (const { lambda, beta } of lassoPath(gram, units)) {
    expect(violation(gram, beta, lambda)).toBeLessThan(1e-2);
  }
});

test("obs removes the channel that the others make up for best, by refitting after each", async () => {
  const { model, x, units } = nextLayers["two products"];
  const [first, ...readers] = weightsOf(model).map(({ value }) => value.tensor as Tensor);
  const bias = [...model.graph.constants].find(({ tensor: c }) => c?.shape.length === 1)?.tensor;
  // The features h [records, units] = LeakyRelu(x W + b), and H = h^T h, damped as the criterion's.
  const [rows, inputs] = x.shape;
  const h = range(rows).map((row) =>
    range(units).map((u) => {
      const sum = range(inputs).reduce(
        (s, i) => s + x.floats()[row * inputs + i] * first.floats()[i * units + u],
        bias?.floats()[u] ?? Number.NaN,
      );
      return sum < 0 ? 0.01 * sum : sum;
    }),
  );
  const gram = range(units).map((i) =>
    range(units).map((j) => h.reduce((sum, row) => sum + row[i] * row[j], 0)),
  );
  const mean = range(units).reduce((sum, i) => sum + gram[i][i], 0) / units;
  const damped = gram.map((row, i) => row.map((v, j) => v + (i === j ? 1e-3 * mean : 0)));
  /** |(V - W) h|^2 / |W h|^2 over the outputs of both readers, V refitted to the `kept` units. */
  const shares = (kept: readonly number[]): number =>
    readers.reduce((sum, reader) => {
      const [, width] = reader.shape;
      let [lost, energy] = [0, 0];
      for (const output of range(width)) {
        const w = range(units).map((u) => reader.floats()[u * width + output]);
        const times = (m: number[][], v: number[]) =>
          m.map((row) => row.reduce((s, a, j) => s + a * v[j], 0));
        const quadratic = (m: number[][], v: number[]) =>
          times(m, v).reduce((s, a, i) => s + a * v[i], 0);
        const target = times(damped, w);
        const solved = solveSpd(
          Float64Array.from(kept.flatMap((i) => kept.map((j) => damped[i][j]))),
          kept.length,
          kept.map((i) => target[i]),
        );
        const d = w.map((v, u) => (kept.includes(u) ? solved[kept.indexOf(u)] : 0) - v);
        lost += quadratic(damped, d);
        energy += quadratic(gram, w);
      }
      return sum + lost / energy / readers.length;
    }, 0);
  const scores = await scoresOf("obs", model, x);
  let kept = range(units);
  const order: number[] = [];
  while (kept.length > 1) {
    const tries = kept.map((u) => ({ u, lost: shares(kept.filter((other) => other !== u)) }));
    const best = tries.reduce((a, b) => (b.lost < a.lost ? b : a));
    expect(Math.abs(scores[best.u] / best.lost - 1)).toBeLessThan(1e-3);
    order.push(best.u);
    kept = kept.filter((u) => u !== best.u);
  }
  expect(orderOf(scores)).toEqual([...order, ...kept]);
});

describe("from weights alone", () => {
  /** Units of size 1, made by `into` and read by `out`. */
  const column = (into: readonly number[], out: readonly number[]): Model =>
    layerModel(["N", 1], (g, x) => {
      const y = g.Relu(g.MatMul(x, g.constant(into, { shape: [1, into.length] })));
      return g.MatMul(y, g.constant(out, { shape: [out.length, 1] }));
    });
  const one = tensor("float32", [1, 1], [1]);

  test("norms of filters look at the layer that makes a channel, norms of groups at its readers too", async () => {
    const model = layerModel(["N", 2], (g, x) => {
      const y = g.Relu(g.MatMul(x, g.constant([3, -4, 5, 3, 4, 0], { shape: [2, 3] })));
      return g.MatMul(y, g.constant([-1, 1, 4, 5, 6, -3], { shape: [3, 2] }));
    });
    const x = tensor("float32", [1, 2], [1, 1]);
    // Filters (3, 3), (-4, 4), (5, 0); read by (-1, 1), (4, 5), (6, -3).
    const l1 = [6, 8, 5].map((n) => n / (19 / 3));
    const l2 = [Math.sqrt(18), Math.sqrt(32), 5];
    const mean = l2.reduce((a, b) => a + b) / 3;
    const close = (found: number[], expected: number[]) => {
      for (const [i, value] of expected.entries()) expect(found[i]).toBeCloseTo(value, 5);
    };
    close(await scoresOf("filter-l1", model, x), l1);
    close(
      await scoresOf("filter-l2", model, x),
      l2.map((n) => n / mean),
    );
    close(
      await scoresOf("group-l1", model, x),
      [2, 9, 9].map((n, u) => (n / (20 / 3) + l1[u]) / 2),
    );
    const out = [2, 41, 45].map(Math.sqrt);
    const outMean = out.reduce((a, b) => a + b) / 3;
    close(
      await scoresOf("group-l2", model, x),
      out.map((n, u) => (n / outMean + l2[u] / mean) / 2),
    );
  });

  test("fpgm: distances, not their squares: the median goes first, not the mean", async () => {
    const into = [0, 1, 2, 3, 30];
    const scores = await scoresOf("fpgm", column(into, [1, 1, 1, 1, 1]), one);
    // Sums of distances 36, 33, 32, 33, 114; of squares 914, 847, 790, 743, 3308.
    const sums = [36, 33, 32, 33, 114];
    const mean = sums.reduce((a, b) => a + b) / 5;
    for (const [i, sum] of sums.entries()) expect(scores[i]).toBeCloseTo(sum / mean, 5);
  });

  test("fpgm treats filters alike where each is compared with a sample", async () => {
    // Filters of one identity matrix: all pairs are sqrt(2) apart.
    const size = 260;
    const model = layerModel(["N", size], (g, x) => {
      const identity = range(size * size).map((i) => Number(i % (size + 1) === 0));
      const y = g.Relu(g.MatMul(x, g.constant(identity, { shape: [size, size] })));
      return g.MatMul(y, g.constant(new Float32Array(size).fill(1), { shape: [size, 1] }));
    });
    const scores = await scoresOf("fpgm", model, tensor("float32", [1, size], numbers(size)));
    for (const score of scores) expect(score).toBeCloseTo(1, 6);
  });

  const normed = (norm: (g: Builder, y: Value, scale: Value) => Value): Model =>
    layerModel(["N", 3, 4, 4], (g, x) => {
      const scale = g.constant([0.1, 1, -2, 0.5]);
      const y = norm(g, g.Conv(x, g.constant(numbers(12), { shape: [4, 3, 1, 1] })), scale);
      return g.Conv(y, g.constant(numbers(8), { shape: [2, 4, 1, 1] }));
    });
  const vector = (g: Builder, value: number) => g.constant(new Float32Array(4).fill(value));
  const image = tensor("float32", [1, 3, 4, 4], numbers(48));

  test("bn-gamma: |gamma| as it is, so that one threshold can hold for all layers", async () => {
    const model = normed((g, y, scale) =>
      g.BatchNormalization(y, scale, vector(g, 0), vector(g, 0), vector(g, 1)),
    );
    const scores = await scoresOf("bn-gamma", model, image);
    for (const [i, gamma] of [0.1, 1, 2, 0.5].entries()) expect(scores[i]).toBeCloseTo(gamma, 6);
    expect(criteria["bn-gamma"].isAbsolute).toBe(true);
  });

  test.each<[string, Parameters<typeof normed>[0]]>([
    ["a slope", (g, y, scale) => g.PRelu(y, g.Reshape(scale, g.ints([4, 1, 1])))],
    [
      "a scale of other statistics",
      (g, y, scale) => g.GroupNormalization(y, scale, vector(g, 0), { num_groups: 2 }),
    ],
  ])("bn-gamma asks batch normalizations only, not %s", async (_, norm) => {
    await expect(scoresOf("bn-gamma", normed(norm), image)).rejects.toThrow("normalization");
  });
});

test("activation: the mean of |x| of what the layers read", async () => {
  // Channel 0 is +-4 by turns, channel 1 is always 1, channel 2 is 3 in one record of four.
  const model = layerModel(["N", 3], (g, x) => {
    const y = g.Tanh(g.MatMul(x, g.constant([1, 0, 0, 0, 1, 0, 0, 0, 1], { shape: [3, 3] })));
    return g.MatMul(y, g.constant(numbers(6), { shape: [3, 2] }));
  });
  const raw = [0.8, 0.1, 0.6, -0.8, 0.1, 0, 0.8, 0.1, 0, -0.8, 0.1, 0];
  const scores = await scoresOf(
    "activation",
    model,
    tensor("float32", [4, 3], raw.map(Math.atanh)),
  );
  const means = [0.8, 0.1, 0.15];
  const mean = means.reduce((a, b) => a + b) / 3;
  for (const [i, value] of means.entries()) expect(scores[i]).toBeCloseTo(value / mean, 5);
});

describe("taylor: E (dy / d gate)^2, the sum of w dy/dw within the square (arXiv 1906.10771)", () => {
  const ratios = (scores: readonly number[]) => scores.map((score) => score / scores[0]);

  test("over readers, and over records outside of it", async () => {
    // y = (a + b) h with h = x: unit 1 is read by weights that cancel, unit 3 changes its sign.
    const [a, b] = [
      [1, 2, 1, 3],
      [1, -2, 0, 1],
    ];
    const model = layerModel(["N", 4], (g, x) => {
      const identity = range(16).map((i) => Number(i % 5 === 0));
      const h = g.MatMul(x, g.constant(identity, { shape: [4, 4] }));
      const read = (w: number[]) => g.MatMul(h, g.constant(w, { shape: [4, 1] }));
      return g.Add(read(a), read(b));
    });
    const x = tensor("float32", [2, 4], [1, 1, 2, 1, 1, 1, 2, -1]);
    const found = ratios(await scoresOf("taylor", model, x));
    for (const [i, ratio] of [1, 0, 1, 4].entries()) expect(found[i]).toBeCloseTo(ratio, 4);
  });

  test("over positions and kernel taps", async () => {
    // The sum over an image of one 3x1 kernel per unit: (sum of taps) (sum of pixels inside).
    const kernels = [
      [1, 1, 1],
      [1, -1, 0],
      [2, 0, 0],
    ];
    const model = layerModel(["N", 1, 1, 3], (g, x) => {
      const h = g.Conv(x, g.constant([1, 2, 1], { shape: [3, 1, 1, 1] }));
      return g.Conv(h, g.constant(kernels.flat(), { shape: [1, 3, 1, 3] }));
    });
    const x = tensor("float32", [3, 1, 1, 3], [1, 2, 3, 1, 2, 3, 1, 2, 3]);
    const found = ratios(await scoresOf("taylor", model, x));
    // Units give 6, 2 (1 - 2) and 2 of y.
    for (const [i, y] of [6, -2, 2].entries()) expect(found[i]).toBeCloseTo((y / 6) ** 2, 4);
  });
});
