/** @file Whitening: the loss of a layer's outputs is the sum of the singular values that were dropped. */
import { describe, expect, test } from "vitest";
import type { Context } from "../../src/context.ts";
import { unwhiten, type Whitener, whiten, whitenersOf } from "../../src/evidence/whitener.ts";
import type { Value } from "../../src/ir/graph.ts";
import type { Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import type { Layer } from "../../src/layers/matrix.ts";
import { transpose } from "../../src/numeric/matrix.ts";
import { svd, truncate } from "../../src/numeric/svd.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { createObserve } from "../../src/recipe/observe.ts";
import type { Feeds } from "../../src/runtime/runtime.ts";
import { normal, sizeOf } from "../layers/kernels.ts";
import { open, replaced } from "../layers/replaced.ts";
import { environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const RECORDS = 40;

const weight = (g: Builder, ...shape: number[]): Value =>
  g.constant(tensor("float32", shape, normal(sizeOf(shape))));

/** Neighbours hang together and some directions are loud, so that no whitener is near the identity. */
function inputsOf(shape: readonly number[]): Feeds {
  const values = normal(sizeOf(shape));
  for (let i = 1; i < values.length; i++) values[i] += 0.8 * values[i - 1];
  for (let i = 0; i < values.length; i += 5) values[i] *= 3;
  return { x: tensor("float32", shape, values) };
}

const contextOf = (feeds: Feeds): Context => {
  const env = environmentOf(nets[0], { calibration: tensorDataset(feeds) });
  return { observe: createObserve(env, () => {}, "test") } as unknown as Context;
};

/** sum |y' - y|^2 per record. */
async function loss(a: Model, b: Model, feeds: Feeds): Promise<number> {
  const [y, z] = await Promise.all(
    [a, b].map(async (model) => (await outputsOf(concat(writeModel(model)), feeds)).y.floats()),
  );
  return y.reduce((sum, value, i) => sum + (value - z[i]) ** 2, 0) / RECORDS;
}

const squares = (s: Float64Array): number => s.reduce((sum, x) => sum + x * x, 0);

const cases: Record<string, { shape: readonly number[]; draw: (g: Builder, x: Value) => Value }> = {
  "Conv, 2 axes": {
    shape: [3, 9, 8],
    draw: (g, x) =>
      g.Conv(x, weight(g, 7, 3, 2, 3), g.constant(normal(7)), {
        ...{ strides: [2, 1], pads: [1, 0, 0, 2], dilations: [1, 2] },
      }),
  },
  "Conv, 1 axis": { shape: [4, 20], draw: (g, x) => g.Conv(x, weight(g, 6, 4, 3)) },
  "Gemm, transB": {
    shape: [12],
    draw: (g, x) =>
      g.Gemm(x, weight(g, 8, 12), g.constant(normal(8)), { transB: 1, alpha: 1, beta: 2 }),
  },
  "x W": { shape: [3, 12], draw: (g, x) => g.MatMul(x, weight(g, 12, 8)) },
  "W x": { shape: [12, 3], draw: (g, x) => g.MatMul(weight(g, 8, 12), x) },
};

describe.each(Object.entries(cases))("%s", (_, { shape, draw }) => {
  test("loss = dropped singular values, and no other cut of that rank loses less", async () => {
    const model = layerModel(["N", ...shape], draw);
    const feeds = inputsOf([RECORDS, ...shape]);
    const layer = open(model) as Layer;
    const options = { records: RECORDS, damping: 0 };
    const found = await whitenersOf(model, [layer], options, contextOf(feeds));
    const whitener = found.get(layer) as Whitener;
    const { outputs, inputs, kernel, matrix } = layer;
    const { columns } = whitener;

    /** U_r diag(s_r) V_r^T, of the whitened matrix or the plain one. */
    const cut = (rank: number, isWhite: boolean) => {
      const whole = svd(isWhite ? whiten(matrix, whitener) : matrix, outputs, columns);
      const { u, s, v } = truncate(whole, rank);
      const scaled = transpose(v, columns, rank).map((x, i) => x * s[Math.floor(i / columns)]);
      const { model: thin } = replaced(model, [
        {
          ...{ name: "down", shape: [rank, inputs, ...kernel] },
          values: isWhite ? unwhiten(scaled, whitener) : scaled,
        },
        { name: "up", shape: [outputs, rank, ...kernel.map(() => 1)], values: u },
      ]);
      return { thin, dropped: squares(whole.s.slice(rank)), all: squares(whole.s) };
    };
    for (let rank = 1; rank < outputs; rank++) {
      const { thin, dropped } = cut(rank, true);
      const measured = await loss(model, thin, feeds);
      expect(Math.abs(measured / dropped - 1)).toBeLessThan(1e-4);
      expect(measured).toBeLessThan(await loss(model, cut(rank, false).thin, feeds));
    }
    const { thin, all } = cut(outputs, true);
    expect(await loss(model, thin, feeds)).toBeLessThan(1e-9 * all);
  });
});

test("S S^T = X X^T + damping, X unfolded by hand", async () => {
  const model = layerModel(["N", 5], (g, x) => g.MatMul(x, weight(g, 5, 4)));
  const feeds = inputsOf([RECORDS, 5]);
  const x = feeds.x.floats();
  const layer = open(model) as Layer;
  for (const damping of [0, 0.01, 1]) {
    const options = { records: RECORDS, damping };
    const found = await whitenersOf(model, [layer], options, contextOf(feeds));
    const { factor } = found.get(layer) as Whitener;
    const moment = (i: number, j: number): number => {
      let sum = 0;
      for (let k = 0; k < RECORDS; k++) sum += (x[k * 5 + i] * x[k * 5 + j]) / RECORDS;
      return sum;
    };
    const mean = [0, 1, 2, 3, 4].reduce((sum, i) => sum + moment(i, i) / 5, 0);
    for (let i = 0; i < 5; i++) {
      for (let j = 0; j < 5; j++) {
        let sum = 0;
        for (let k = 0; k < 5; k++) sum += factor[i * 5 + k] * factor[j * 5 + k];
        expect(sum).toBeCloseTo(moment(i, j) + (i === j ? damping * mean : 0), 4);
        if (j > i) expect(factor[i * 5 + j]).toBe(0);
      }
    }
  }
});

test("too few records without damping are an error, a layer in a branch is a reason", async () => {
  const model = layerModel(["N", 5], (g, x) => g.MatMul(x, weight(g, 5, 4)));
  const context = contextOf(inputsOf([3, 5]));
  const options = { records: 3, damping: 0 };
  await expect(whitenersOf(model, [open(model) as Layer], options, context)).rejects.toThrow(
    "not positive definite",
  );

  const net = nets.find(({ name }) => name === "if")!;
  const inner = open(net.model, 2) as Layer;
  const found = await whitenersOf(
    net.model,
    [inner],
    { records: 8, damping: 0.01 },
    contextOf(net.feeds(8)),
  );
  expect(found.get(inner)).toBe("is inside a branch or loop");
});
