/** @file Blocks of any length: fixed tables, scales of scales, and grids whose last block is shorter. */
import { describe, expect, test } from "vitest";
import type { Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { fitAffine, tables } from "../../src/numeric/table.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { transposed } from "../../src/weights/elements.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { relativeError } from "../support/error.ts";
import { kindOf, layerModel, partOf, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(7);
const normal = (size: number): Float32Array => Float32Array.from({ length: size }, random.normal);
const [rows, columns] = [6, 43];
const W = normal(rows * columns);
const env = environmentOf(nets[0]);

/** y = W x with W as [outputs, inputs], or the other way round. */
const left = layerModel(["N", columns], (g, x) =>
  g.Gemm(x, g.constant(W, { shape: [rows, columns] }), null, { transB: 1 }),
);
const turnedW = Float32Array.from(W, (_, i) => W[(i % rows) * columns + Math.floor(i / rows)]);
const right = layerModel(["N", columns], (g, x) =>
  g.MatMul(x, g.constant(turnedW, { shape: [columns, rows] })),
);

/** The weight of the layer, read back from a file; rows are outputs. */
function weightOf(model: Model) {
  const file = readModel(concat(writeModel(model)), { name: "read" });
  const [{ weight }] = weightsIn(file);
  const values =
    weight.shape[0] === rows
      ? weight.values
      : Float32Array.from(
          W,
          (_, i) => weight.values[(i % columns) * rows + Math.floor(i / columns)],
        );
  return { weight, values };
}

test("the tables are those that were published", () => {
  const published = [
    -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1,
  ];
  expect([...tables.nf4].sort((a, b) => a - b)).toEqual(published.map(Math.fround));
  // e2m1: (-1)^s 2^(e - 1) (1 + m / 2), or m / 2 where e = 0.
  const floats = new Set<number>();
  for (let bits = 0; bits < 16; bits++) {
    const [sign, e, m] = [bits & 8 ? -1 : 1, (bits >> 1) & 3, bits & 1];
    floats.add(sign * (e === 0 ? m / 2 : 2 ** (e - 1) * (1 + m / 2)) + 0);
  }
  expect(new Set(tables.fp4)).toEqual(floats);
  expect([tables.nf4[0], tables.fp4[0]]).toEqual([0, 0]);
});

describe.each([
  ["W [outputs, inputs]", left],
  ["W [inputs, outputs]", right],
])("%s, 43 inputs", (_, model) => {
  test.each(["nf4", "fp4"] as const)("%s: blocks of 16, 16 and 11 inputs", async (name) => {
    const done = await apply(model, "quantize-table", { table: name, block: 16 }, env);
    expect(done.warnings).toEqual([]);
    const { weight, values } = weightOf(done.model);
    expect(kindOf(weight)).toBe("scaled table");
    const table = [...tables[name]];
    const most = Math.max(...table.map(Math.abs));
    for (let row = 0; row < rows; row++) {
      for (const [from, to] of [
        [0, 16],
        [16, 32],
        [32, 43],
      ]) {
        const block = W.subarray(row * columns + from, row * columns + to);
        const s = Math.max(...block.map(Math.abs)) / most;
        for (const [j, w] of block.entries()) {
          const entry = table.reduce((a, b) => (Math.abs(w - s * b) < Math.abs(w - s * a) ? b : a));
          expect(values[row * columns + from + j]).toBeCloseTo(s * entry, 5);
        }
      }
    }
  });

  test("quantize-weights: the last block has a scale of its own", async () => {
    const options = { bits: 4, block: 16, scale: "minmax" };
    const done = await apply(model, "quantize-weights", options, env);
    expect(done.warnings).toEqual([]);
    const { weight, values } = weightOf(done.model);
    expect(kindOf(weight)).toBe("grid");
    for (let row = 0; row < rows; row++) {
      for (const [from, to] of [
        [0, 16],
        [16, 32],
        [32, 43],
      ]) {
        const block = W.subarray(row * columns + from, row * columns + to);
        const s = Math.max(...block.map(Math.abs)) / 7;
        for (const [j, w] of block.entries()) {
          expect(values[row * columns + from + j]).toBeCloseTo(s * Math.round(w / s), 5);
        }
      }
    }
    // Turned, it is the same weight the other way round.
    const turned = transposed(weight);
    const [height, width] = weight.shape;
    for (const [i, w] of weight.values.entries()) {
      expect(turned?.values[(i % width) * height + Math.floor(i / width)]).toBe(w);
    }
  });

  test.each([8, 16])("int4 with superblocks of 2 blocks of %d", async (block) => {
    const options = { table: "int4", block, superblock: 2 };
    const { model: made, bytes } = await apply(model, "quantize-table", options, env);
    const { weight, values } = weightOf(made);
    expect(kindOf(weight)).toBe("grid with offsets");
    const [scale, offset] = ["scale", "offset"].map((name) => partOf(weight, name));
    for (const s of Array.from(scale)) expect(s).toBeGreaterThan(0);
    for (const m of Array.from(offset)) expect(m).toBeLessThanOrEqual(0);
    // 4 bits of the range of a block, and 6 bits of its two ends.
    for (let row = 0; row < rows; row++) {
      for (let from = 0; from < columns; from += block) {
        const places = Array.from(
          { length: Math.min(block, columns - from) },
          (_, j) => row * columns + from + j,
        );
        const range =
          Math.max(0, ...places.map((i) => W[i])) - Math.min(0, ...places.map((i) => W[i]));
        for (const i of places) expect(Math.abs(W[i] - values[i])).toBeLessThan(range / 9);
      }
    }
    const feeds = { x: tensor("float32", [2, columns], normal(2 * columns)) };
    const again = concat(writeModel(readModel(bytes, { name: "again" })));
    expect(relativeError(await outputsOf(bytes, feeds), await outputsOf(again, feeds))).toBe(0);
  });
});

test("fitAffine is no worse than the range, and exact on sixteen levels", () => {
  const on = Float32Array.from({ length: 32 }, (_, i) => -0.75 + 0.125 * (i % 16));
  const { scale, offset } = fitAffine(on, 15);
  expect([scale, offset]).toEqual([0.125, -0.75]);
  expect(fitAffine(new Float32Array(4), 15)).toEqual({ scale: 0, offset: 0 });
});

test("a block of zeros stays zero, beside others and in a superblock", async () => {
  const values = W.map((w, i) => (i % columns < 16 ? 0 : w));
  const model = layerModel(["N", columns], (g, x) =>
    g.Gemm(x, g.constant(values, { shape: [rows, columns] }), null, { transB: 1 }),
  );
  for (const table of ["nf4", "fp4", "int4"]) {
    for (const superblock of [0, 4]) {
      const options = { table, block: 16, superblock };
      const { weight } = weightOf((await apply(model, "quantize-table", options, env)).model);
      for (const [i, w] of values.entries()) {
        if (i % columns < 16) expect(weight.values[i] + 0).toBe(0);
        else expect(Math.abs(weight.values[i] - w)).toBeLessThan(0.7);
      }
    }
  }
});
