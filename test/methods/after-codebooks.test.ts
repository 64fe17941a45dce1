/** @file What follows a codebook, a table, a sketch or a ragged grid: training, int8 kernels, packing. */
import { describe, expect, test } from "vitest";
import type { Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { packSmallest } from "../../src/measure/pack.ts";
import type { MethodId } from "../../src/methods/index.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { unpack } from "../../src/unpack.ts";
import type { Composed, Weight } from "../../src/weights/weight.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { relativeError } from "../support/error.ts";
import { layerModel, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(8);
const normal = (size: number): Float32Array => Float32Array.from({ length: size }, random.normal);
/** 44 inputs: no multiple of 16. */
const [rows, columns, records] = [40, 44, 64];
const start = layerModel(["N", columns], (g, x) =>
  g.Gemm(x, g.constant(normal(rows * columns), { shape: [rows, columns] }), null, { transB: 1 }),
);
const inputs = { x: tensor("float32", [records, columns], normal(records * columns)) };
const labels = tensor(
  "int32",
  [records],
  Int32Array.from({ length: records }, (_, i) => i % rows),
);
const env = environmentOf(
  { ...nets[0], model: start },
  {
    training: tensorDataset(inputs, labels),
    calibration: tensorDataset(inputs),
    feeds: inputs,
  },
);

const methods: readonly (readonly [MethodId, Record<string, unknown>, string])[] = [
  ["quantize-weights", { bits: 4, block: 16 }, "grid"],
  ["quantize-table", { block: 16 }, "scaled table"],
  ["quantize-table", { table: "int4", block: 8, superblock: 4 }, "grid with offsets"],
  ["fixed-point", { bits: 16 }, "grid"],
  ["share-vectors", { bits: 6, stages: 2, codebooks: "own" }, "vectors"],
  ["sketch-weights", {}, "sketch"],
];

/** Every number that the file stores for a weight, by the path of its part; whether training may move it. */
function numbersOf(weight: Weight, path = "W", learns = true): [string, boolean, number[]][] {
  if (weight.form === null) return [[path, learns, Array.from(weight.values)]];
  return Object.entries(weight.form.theta).flatMap(([name, part]) =>
    numbersOf(weight.theta[name], `${path}.${name}`, learns && part.learns),
  );
}

const weightOf = (model: Model): Composed => weightsIn(model)[0].weight as Composed;

describe.each(methods)("%s %j", async (method, options, kind) => {
  const made = await apply(start, method, options, env);
  const before = numbersOf(weightOf(made.model));

  test("training moves what learns, and nothing else", async () => {
    const given = { epochs: 2, batch: 32, loss: "cross-entropy" };
    const trained = await apply(made.model, "train", given, env);
    expect(weightOf(trained.model).form.kind).toBe(kind);
    const after = numbersOf(weightOf(trained.model));
    expect(after.map(([path]) => path)).toEqual(before.map(([path]) => path));
    for (const [i, [path, learns, numbers]] of before.entries()) {
      const isMoved = after[i][2].some((x, j) => x !== numbers[j]);
      expect([path, isMoved]).toEqual([path, learns]);
    }
  });

  test("int8 kernels compute what it gives", async () => {
    const { bytes, skipped } = await apply(made.model, "quantize-int8", {}, env);
    expect(skipped).toEqual([]);
    const [a, b] = [await outputsOf(made.bytes, inputs), await outputsOf(bytes, inputs)];
    const error = b.y.floats().reduce((sum, y, i) => sum + (y - a.y.floats()[i]) ** 2, 0);
    expect(error / a.y.floats().reduce((sum, y) => sum + y * y, 0)).toBeLessThan(0.001);
  });

  test("packing loses nothing", async () => {
    const source = { bytes: concat(writeModel(made.model)) };
    const packed = packSmallest({ name: "m", source, model: made.model });
    const again = await unpack(packed.bytes);
    expect(relativeError(await outputsOf(made.bytes, inputs), await outputsOf(again, inputs))).toBe(
      0,
    );
  });
});
