/** @file What the rounding methods store in a model, layer kind by layer kind. */
import { describe, expect, test } from "vitest";
import { tensor } from "../../src/ir/tensor.ts";
import type { MethodId } from "../../src/methods/index.ts";
import { learn } from "../../src/methods/quantization/quantize-adaround.ts";
import { inverseFactor } from "../../src/numeric/inverse.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { levelsByRate } from "../../src/rounding/by-rate.ts";
import {
  blocksOf,
  type HessianLayer,
  type Levels,
  outputError,
  rangeOf,
  weightOf,
} from "../../src/rounding/matrix.ts";
import { nearestByHessian } from "../../src/rounding/scale.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { relativeError } from "../support/error.ts";
import { kindOf, layerModel, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(21);
const normal = (length: number): Float32Array =>
  Float32Array.from({ length }, () => random.normal());

/** x [32, ...dims] whose channels hang together and differ in size, as activations do. */
function inputs(dims: readonly number[]): Float32Array {
  const size = dims.reduce((a, b) => a * b, 1);
  const inner = size / dims[0];
  const values = normal(32 * size);
  for (let i = 0; i < values.length; i++) {
    const channel = Math.floor((i % size) / inner);
    if (channel > 0) values[i] += 0.8 * values[i - inner];
    values[i] *= channel % 4 === 0 ? 3 : 1;
  }
  return values;
}

const cases = {
  "Gemm x W^T": { dims: [12], weight: [16, 12], op: "gemm" },
  "MatMul x W": { dims: [12], weight: [12, 16], op: "matmul" },
  Conv: { dims: [6, 5, 5], weight: [8, 6, 3, 3], op: "conv" },
  "grouped Conv": { dims: [6, 5, 5], weight: [8, 3, 3, 3], op: "grouped" },
} as const;

function modelOf({ dims, weight, op }: (typeof cases)[keyof typeof cases]) {
  const values = tensor("float32", weight, normal(weight.reduce<number>((a, b) => a * b, 1)));
  const model = layerModel(["N", ...dims], (g, x) => {
    const w = g.constant(values);
    if (op === "matmul") return g.MatMul(x, w);
    if (op === "gemm") return g.Gemm(x, w, null, { transB: 1 });
    return g.Conv(x, w, null, { group: op === "grouped" ? 2 : 1 });
  });
  const x = tensor("float32", [32, ...dims], inputs(dims));
  const net = { name: "layer", model, feeds: () => ({ x }) };
  const env = environmentOf(net, { calibration: tensorDataset({ x }) });
  return { model, env, feeds: { x } };
}

describe.each(Object.keys(cases) as (keyof typeof cases)[])("%s", (name) => {
  const { model, env, feeds } = modelOf(cases[name]);
  const errorOf = async (id: MethodId, options: Record<string, unknown>): Promise<number> => {
    const { bytes } = await apply(model, id, options, env);
    return relativeError(await outputsOf(bytes, feeds), await original);
  };
  const original = apply(model, "quantize-weights", { except: ["*"] }, env).then(({ bytes }) =>
    outputsOf(bytes, feeds),
  );

  test("outputs change less than by rounding to the nearest levels", async () => {
    const rounded = await errorOf("quantize-weights", { bits: 3 });
    expect(await errorOf("quantize-gptq", { bits: 3 })).toBeLessThan(0.8 * rounded);
    expect(await errorOf("quantize-gptq", { bits: 3, levels: "asymmetric" })).toBeLessThan(rounded);
    expect(await errorOf("quantize-adaround", { bits: 3 })).toBeLessThan(0.9 * rounded);
    const blocks = { bits: 3, block: 3 };
    const inBlocks = await errorOf("quantize-weights", blocks);
    expect(await errorOf("quantize-gptq", blocks)).toBeLessThan(inBlocks);
    expect(await errorOf("quantize-awq", blocks)).toBeLessThan(1.05 * inBlocks);
    expect(await errorOf("quantize-hqq", blocks)).toBeLessThan(1.1 * inBlocks);
  });

  test("every block of inputs has its own scale", async () => {
    const { model: found } = await apply(model, "quantize-hqq", { bits: 8, block: 3 }, env);
    const [{ weight }] = weightsIn(found);
    expect(kindOf(weight)).toBe("asymmetric grid");
    // At 8 bits a block is off by half its own step at most, (max - min) / 255 / 2.
    const before = weightsIn(model)[0].weight;
    const { weight: shape } = cases[name];
    const along = name === "MatMul x W" ? 0 : 1;
    const stride = shape.slice(along + 1).reduce<number>((a, b) => a * b, 1);
    for (let start = 0; start < before.values.length; start++) {
      if ((Math.floor(start / stride) % shape[along]) % 3 !== 0) continue;
      const own = [0, 1, 2].map((k) => before.values[start + k * stride]);
      const span = Math.max(0, ...own) - Math.min(0, ...own);
      for (const [k, w] of own.entries()) {
        expect(Math.abs(weight.values[start + k * stride] - w)).toBeLessThan(span / 255);
      }
    }
  });
});

/** A small layer with a Hessian whose columns hang together. */
function layerOf(rows: number, columns: number, bits: number): HessianLayer {
  const hessian = new Float64Array(columns * columns);
  for (let s = 0; s < 50; s++) {
    const x = normal(columns);
    for (let j = 1; j < columns; j++) x[j] += 0.9 * x[j - 1];
    for (let i = 0; i < columns; i++)
      for (let j = 0; j < columns; j++) hessian[i * columns + j] += x[i] * x[j];
  }
  return {
    groups: 1,
    weight: Float64Array.from(normal(rows * columns)),
    rows,
    columns,
    depth: columns,
    blocks: blocksOf(columns, columns, 0),
    range: rangeOf(bits, true),
    hessian,
  };
}

test("AdaRound comes near the best of all choices of up and down", () => {
  let [own, best, nearest] = [0, 0, 0];
  for (let trial = 0; trial < 6; trial++) {
    const layer = layerOf(1, 8, 3);
    const { weight, hessian, range } = layer;
    const costOf = (w: Float64Array): number =>
      outputError(
        w.map((x, j) => x - weight[j]),
        hessian,
        8,
      );
    const learned = learn(layer, 300);
    const s = learned.scales[0];
    let least = Infinity;
    for (let up = 0; up < 256; up++) {
      const level = (w: number, j: number): number =>
        Math.max(range.least, Math.min(range.greatest, Math.floor(w / s) + ((up >> j) & 1)));
      least = Math.min(least, costOf(weight.map((w, j) => s * level(w, j))));
    }
    own += costOf(weightOf(learned, layer));
    nearest += costOf(weightOf(nearestByHessian(layer), layer));
    best += least;
  }
  expect(own).toBeLessThan(0.8 * nearest);
  expect(own).toBeLessThan(1.3 * best);
});

test("AdaRound keeps the rounding of least error on held-out records", () => {
  let gained = 0;
  for (let trial = 0; trial < 6; trial++) {
    // Few records for many columns: what suits them best need not suit others.
    const columns = 10;
    const truth = layerOf(2, columns, 3);
    const few = new Float64Array(columns ** 2);
    for (let s = 0; s < 4; s++) {
      const x = normal(columns);
      for (let i = 0; i < columns; i++)
        for (let j = 0; j < columns; j++) few[i * columns + j] += x[i] * x[j];
    }
    const layer = { ...truth, hessian: few };
    const heldOut = truth.hessian;
    const errorOf = (levels: Levels): number => {
      const w = weightOf(levels, layer);
      let sum = 0;
      for (let row = 0; row < 2; row++) {
        const d = Float64Array.from({ length: columns }, (_, j) => {
          return w[row * columns + j] - layer.weight[row * columns + j];
        });
        sum += outputError(d, heldOut, columns);
      }
      return sum;
    };
    const [last, best] = [learn(layer, 120), learn({ ...layer, heldOut }, 120)];
    const bound = Math.min(errorOf(last), errorOf(nearestByHessian(layer)));
    expect(errorOf(best)).toBeLessThanOrEqual(bound * (1 + 1e-9));
    if (errorOf(best) < 0.999 * errorOf(last)) gained++;
  }
  expect(gained).toBeGreaterThan(0);
});

test("levels by rate: the distortion is that of the weights, and a higher price gives more zeros", () => {
  const { weight, hessian, columns } = layerOf(6, 10, 4);
  const gains = Float64Array.of(1, 2, 3, 1, 2, 3);
  const layer = { weight, columns, gains, uppers: [inverseFactor(hessian, columns)] };
  let zeros = -1;
  for (const lambda of [0, 1, 5, 30]) {
    const { q, distortion } = levelsByRate(layer, 0.4, lambda);
    let direct = 0;
    for (const [row, gain] of gains.entries()) {
      const d = Float64Array.from({ length: columns }, (_, j) => {
        return 0.4 * q[row * columns + j] - weight[row * columns + j];
      });
      direct += gain * outputError(d, hessian, columns);
    }
    expect(Math.abs(distortion / direct - 1)).toBeLessThan(1e-9);
    const count = q.filter((level) => level === 0).length;
    expect(count).toBeGreaterThan(zeros);
    zeros = count;
  }
});

test("levels by rate: without a price they are GPTQ's", () => {
  const { weight, hessian, columns } = layerOf(3, 6, 8);
  const upper = inverseFactor(hessian, columns);
  const gains = new Float64Array(3).fill(1);
  const { q } = levelsByRate({ weight, columns, gains, uppers: [upper] }, 0.3, 0);
  for (let row = 0; row < 3; row++) {
    const rest = weight.slice(row * columns, (row + 1) * columns);
    for (let j = 0; j < columns; j++) {
      const level = Math.round(rest[j] / 0.3);
      expect(q[row * columns + j]).toBe(level + 0);
      const error = (rest[j] - 0.3 * level) / upper[j * columns + j];
      for (let k = j + 1; k < columns; k++) rest[k] -= error * upper[j * columns + k];
    }
  }
});

test("a weight that is rounded in parts is rounded as its rows are by themselves", async () => {
  const [columns, rows, first] = [64, 20_000, 16_380];
  const [x, w] = [normal(4 * columns), normal(columns * rows)];
  const feeds = { x: tensor("float32", [4, columns], x) };
  // Rows of 64 columns: the first part has 2^20 / 64 = 16384 of them.
  const scoresOf = async (from: number, count: number): Promise<Float32Array> => {
    const some = Float32Array.from(
      { length: columns * count },
      (_, i) => w[Math.floor(i / count) * rows + from + (i % count)],
    );
    const model = layerModel(["N", columns], (g, input) =>
      g.MatMul(input, g.constant(tensor("float32", [columns, count], some))),
    );
    const env = environmentOf(nets[0], { feeds });
    const { bytes } = await apply(model, "quantize-hqq", { bits: 4, iterations: 1 }, env);
    const scores = (await outputsOf(bytes, feeds)).y.floats();
    const taken = from === 0 ? { at: first, of: 40 } : { at: 0, of: count };
    return Float32Array.from(
      { length: 4 * taken.of },
      (_, i) => scores[Math.floor(i / taken.of) * count + taken.at + (i % taken.of)],
    );
  };
  const [whole, alone] = [await scoresOf(0, rows), await scoresOf(first, 40)];
  expect(whole.every((score, i) => Math.abs(score - alone[i]) < 1e-4)).toBe(true);
  expect(alone.some((score) => Math.abs(score) > 1)).toBe(true);
});
