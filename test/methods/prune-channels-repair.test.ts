/** @file Least squares after channels went: exact where the rest can say it, better elsewhere. */
import { describe, expect, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import type { Model } from "../../src/ir/model.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { relativeError } from "../support/error.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(5);
const numbers = (size: number): Float32Array =>
  Float32Array.from({ length: size }, () => random.normal());

/** Channels 4..7 are 0.3 times channels 0..3, along an axis of `size` elements per channel. */
function doubled(perChannel: number): Float32Array {
  const first = numbers(4 * perChannel);
  return Float32Array.of(...first, ...first.map((w) => 0.3 * w));
}

describe("what the channels left can say is said exactly", () => {
  /** conv 2 -> 8 of which 4 are copies, then what reads them. */
  const conv = (read: (g: Builder, y: Value) => Value): Model =>
    layerModel(["N", 2, 9, 9], (g, x) => {
      const w = g.constant(doubled(18), { shape: [8, 2, 3, 3] });
      return read(g, g.Relu(g.Conv(x, w, null, { pads: [1, 1, 1, 1] })));
    });
  const dense = (read: (g: Builder, y: Value) => Value): Model =>
    layerModel(["N", 6], (g, x) => {
      const w = g.constant(doubled(6), { shape: [8, 6] });
      return read(g, g.Relu(g.MatMul(x, g.Transpose(w, { perm: [1, 0] }))));
    });
  const weight = (g: Builder, ...shape: number[]): Value =>
    g.constant(numbers(shape.reduce((a, b) => a * b)), { shape });
  const cases: Record<string, Model> = {
    "Conv, padded": conv((g, y) => g.Conv(y, weight(g, 5, 8, 3, 3), null, { pads: [1, 1, 1, 1] })),
    "Conv, strided, with a bias": conv((g, y) =>
      g.Conv(y, weight(g, 5, 8, 3, 3), weight(g, 5), { strides: [2, 2] }),
    ),
    "Conv, dilated": conv((g, y) =>
      g.Conv(y, weight(g, 5, 8, 3, 3), null, { dilations: [2, 1], pads: [2, 1, 2, 1] }),
    ),
    MatMul: dense((g, y) => g.MatMul(y, weight(g, 8, 5))),
    "MatMul and Add": dense((g, y) => g.Add(g.MatMul(y, weight(g, 8, 5)), weight(g, 5))),
    "Gemm, turned and scaled": dense((g, y) =>
      g.Gemm(y, weight(g, 5, 8), weight(g, 5), { transB: 1, alpha: 0.5, beta: 2 }),
    ),
  };
  test.each(Object.entries(cases))("%s", async (_, model) => {
    const { shape } = model.graph.inputs[0];
    const sides = (shape ?? []).slice(1).map(Number);
    const size = sides.reduce((a, b) => a * b, 1);
    const x = tensor("float32", [128, ...sides], numbers(128 * size));
    const other = { x: tensor("float32", [16, ...sides], numbers(16 * size)) };
    const env = environmentOf(nets[0], { calibration: tensorDataset({ x }) });
    const expected = await outputsOf(concat(writeModel(model)), other);
    const errorOf = async (repair: string): Promise<number> => {
      const { bytes } = await apply(model, "prune-channels", { ratio: 0.5, round: 1, repair }, env);
      return relativeError(expected, await outputsOf(bytes, other));
    };
    expect(await errorOf("least-squares")).toBeLessThan(2e-3);
    expect(await errorOf("bias")).toBeGreaterThan(0.05);
  });
});

describe("what the others can make up for goes first", () => {
  /** Features 0 and 1 are proportional, feature 3 is the sum of 4 and 5; 2 and 6 stand alone. */
  const features = (): Float32Array[] => {
    const [a, b, c, d, e] = Array.from({ length: 5 }, () => numbers(6));
    const sum = c.map((w, i) => w + d[i]);
    return [a, a.map((w) => -2 * w), b.map((w) => w / 3), sum, c, d, e.map((w) => w / 3)];
  };
  test("of a dense layer, and of a convolution with two readers", async () => {
    const rows = features();
    const at = (row: number, i: number): number => rows[row][i];
    const dense = layerModel(["N", 6], (g, x) => {
      const first = Float32Array.from({ length: 42 }, (_, k) => at(k % 7, Math.floor(k / 7)));
      const y = g.MatMul(x, g.constant(first, { shape: [6, 7] }));
      return g.MatMul(y, g.constant(numbers(28), { shape: [7, 4] }));
    });
    const conv = layerModel(["N", 6, 5, 5], (g, x) => {
      const first = Float32Array.from({ length: 42 }, (_, k) => at(Math.floor(k / 6), k % 6));
      const y = g.Conv(x, g.constant(first, { shape: [7, 6, 1, 1] }));
      const read = () =>
        g.Conv(y, g.constant(numbers(4 * 7 * 9), { shape: [4, 7, 3, 3] }), null, {
          pads: [1, 1, 1, 1],
        });
      return g.Sub(read(), read());
    });
    for (const [model, x] of [
      [dense, tensor("float32", [128, 6], numbers(768))],
      [conv, tensor("float32", [128, 6, 5, 5], numbers(128 * 150))],
    ] as const) {
      const env = environmentOf(nets[0], { calibration: tensorDataset({ x }) });
      const options = {
        repair: "least-squares",
        ratio: 2 / 7,
        round: 1,
        criterion: "obs",
      };
      const { model: pruned, bytes } = await apply(model, "prune-channels", options, env);
      const [{ value }] = weightsOf(pruned);
      expect(value.shape?.includes(5)).toBe(true);
      const left = value.tensor?.floats() ?? new Float32Array();
      const isLeft = (row: number): boolean => left.includes(Math.fround(at(row, 0)));
      expect([0, 1].filter(isLeft)).toHaveLength(1);
      expect([3, 4, 5].filter(isLeft)).toHaveLength(2);
      expect([2, 6].filter(isLeft)).toEqual([2, 6]);
      const expected = await outputsOf(concat(writeModel(model)), { x });
      expect(relativeError(expected, await outputsOf(bytes, { x }))).toBeLessThan(2e-3);
    }
  });
});

describe("on records it has not seen", () => {
  const distance = (a: Record<string, Tensor>, b: Record<string, Tensor>): number => {
    const [x, y] = [a.scores.floats(), b.scores.floats()];
    return x.reduce((sum, v, i) => sum + (v - y[i]) ** 2, 0);
  };
  test.each(nets.slice(1, 3))(
    "better than means, which are better than nothing: $name",
    async (net) => {
      const env = environmentOf(net, { calibration: tensorDataset(net.feeds(256, 21)) });
      const other = net.feeds(128, 22);
      const expected = await outputsOf(concat(writeModel(net.model)), other);
      const bytes: Uint8Array[] = [];
      const errors: number[] = [];
      for (const repair of ["least-squares", "least-squares", "bias", "none"]) {
        const done = await apply(net.model, "prune-channels", { ratio: 0.4, repair }, env);
        bytes.push(done.bytes);
        errors.push(distance(expected, await outputsOf(done.bytes, other)));
      }
      expect(errors[0]).toBeLessThan(errors[2]);
      expect(errors[2]).toBeLessThan(errors[3]);
      expect(Buffer.compare(bytes[0], bytes[1])).toBe(0);
    },
  );
});

test("a layer whose output is added to something makes up for what that has lost", async () => {
  const model = layerModel(["N", 6], (g, x) => {
    const branch = (hidden: number): Value => {
      const first = g.constant(numbers(6 * hidden), { shape: [6, hidden] });
      const second = g.constant(numbers(hidden * 3), { shape: [hidden, 3] });
      return g.MatMul(g.Relu(g.MatMul(x, first)), second);
    };
    return g.Add(branch(8), branch(12));
  });
  const x = tensor("float32", [256, 6], numbers(256 * 6));
  const env = environmentOf(nets[0], { calibration: tensorDataset({ x }) });
  const done = await apply(model, "prune-channels", { ratio: 0.5, round: 1 }, env);
  const [expected, y] = await Promise.all(
    [concat(writeModel(model)), done.bytes].map(async (bytes) =>
      (await outputsOf(bytes, { x })).y.floats(),
    ),
  );
  // Normal equations: what is missing is orthogonal to every feature of the layer that was fitted last.
  const first = weightsOf(done.model).filter(({ value }) => value.shape?.[1] === 6)[0]?.value
    .tensor;
  const w = first?.floats() as Float32Array;
  const feature = (unit: number): number[] =>
    Array.from({ length: 256 }, (_, n) => {
      const sum = [...x.floats().subarray(6 * n, 6 * n + 6)].reduce(
        (a, v, i) => a + v * w[6 * i + unit],
        0,
      );
      return Math.max(0, sum);
    });
  let [together, apart] = [0, 0];
  for (let unit = 0; unit < 6; unit++) {
    const h = feature(unit);
    for (let column = 0; column < 3; column++) {
      const r = h.map((_, n) => expected[3 * n + column] - y[3 * n + column]);
      together += h.reduce((sum, v, n) => sum + v * r[n], 0) ** 2;
      apart += (Math.hypot(...h) * Math.hypot(...r)) ** 2;
    }
  }
  expect(together / apart).toBeLessThan(0.002);
});

test("normalization measured anew standardizes what its layers give after the removal", async () => {
  const vector = (g: Builder, size: number, value: (i: number) => number): Value =>
    g.constant(Array.from({ length: size }, (_, i) => value(i)));
  const norm = (g: Builder, x: Value, size: number): Value =>
    g.BatchNormalization(
      x,
      vector(g, size, (i) => 1 + i / 8),
      vector(g, size, (i) => i - 2),
      vector(g, size, () => 3),
      vector(g, size, () => 7),
    );
  const model = layerModel(["N", 2, 9, 9], (g, x) => {
    const [first, second] = [numbers(8 * 18), numbers(5 * 72)];
    const hidden = g.Conv(x, g.constant(first, { shape: [8, 2, 3, 3] }));
    const y = g.Conv(g.Relu(norm(g, hidden, 8)), g.constant(second, { shape: [5, 8, 3, 3] }));
    return norm(g, y, 5);
  });
  const x = tensor("float32", [32, 2, 9, 9], numbers(32 * 2 * 81));
  const env = environmentOf(nets[0], { calibration: tensorDataset({ x }) });
  const options = { ratio: 0.5, round: 1, repair: "batchnorm" };
  const { bytes, model: pruned } = await apply(model, "prune-channels", options, env);
  expect(weightsOf(pruned)[1].value.shape).toEqual([5, 4, 3, 3]);
  const [y] = Object.values(await outputsOf(bytes, { x }));
  const values = y.floats();
  for (let c = 0; c < 5; c++) {
    const own = values.filter((_, i) => Math.floor(i / 25) % 5 === c);
    const mean = own.reduce((a, b) => a + b, 0) / own.length;
    const variance = own.reduce((sum, v) => sum + (v - mean) ** 2, 0) / own.length;
    expect(mean).toBeCloseTo(c - 2, 1);
    expect(Math.sqrt(variance)).toBeCloseTo(1 + c / 8, 1);
  }
});

test("lasso keeps what explains most of the sum, not what is largest", async () => {
  // y = (x0, 0) + (0, x1) + w (x0 + x1, x0 + x1): the last is the smallest, 4 w^2 < 1, but its product
  // with y, 2 w + 4 w^2, is above the 1 + w of the others.
  const w = 0.45;
  const model = layerModel(["N", 2], (g, x) => {
    const hidden = g.MatMul(x, g.constant([1, 0, 1, 0, 1, 1], { shape: [2, 3] }));
    return g.MatMul(hidden, g.constant([1, 0, 0, 1, w, w], { shape: [3, 2] }));
  });
  const x = tensor("float32", [4, 2], [1, 1, 1, -1, -1, 1, -1, -1]);
  const env = environmentOf(nets[0], { calibration: tensorDataset({ x }) });
  const options = { ratio: 2 / 3, round: 1, criterion: "lasso", repair: "none" };
  const { model: pruned } = await apply(model, "prune-channels", options, env);
  const [first, second] = weightsOf(pruned).map(({ value }) => [...(value.tensor?.floats() ?? [])]);
  expect(first).toEqual([1, 1]);
  expect(second).toEqual([w, w].map(Math.fround));
});
