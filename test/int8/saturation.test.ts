/** @file Sums of two products in int16, against the instruction worked by hand. */
import { expect, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { apply, environmentOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const largest = (levels: ArrayLike<number>): number =>
  Math.max(...Array.from(levels, (q) => Math.abs(q)));
const exact = { calibrator: "minmax", scale: "minmax", correctBias: false, equalize: false };

/** Layers x W with the columns of `weights`, on inputs of one record each. */
async function reduced(weights: number[], records: number[][], reduceRange: unknown) {
  const depth = records[0].length;
  const x = tensor("float32", [records.length, depth], records.flat());
  const env = environmentOf(nets[0], { calibration: tensorDataset({ x }), feeds: { x } });
  const model = layerModel(["N", depth], (g: Builder, input: Value) =>
    g.MatMul(input, g.constant(weights, { shape: [depth, weights.length / depth] })),
  );
  const { model: result, warnings } = await apply(
    model,
    "quantize-int8",
    { ...exact, reduceRange },
    env,
  );
  const [{ weight }] = weightsIn(result);
  const levels = weight.form === null ? [] : weight.theta.levels.values;
  return { bits: largest(levels) > 63 ? 8 : 7, warnings };
}

// Scale 1 / 127, so that weights of 1 are the level 127; inputs 0 to 1 are the levels 0 to 255.
test.each([
  // 255 * 127 + 255 * 2 = 32895 > 32767 for the second record.
  [
    "neighbours",
    [1, 2 / 127, 0, 0],
    [
      [0, 1, 0, 0],
      [1, 1, 0, 0],
    ],
    7,
  ],
  // 255 * 127 + 255 * 1 = 32640.
  ["neighbours that fit", [1, 1 / 127, 0, 0], [[1, 1, 1, 1]], 8],
  // The two 127s are in different pairs.
  ["no neighbours", [0, 1, 1, 0], [[1, 1, 1, 1]], 8],
  ["the second pair", [0, 0, 1, 1], [[1, 1, 1, 1]], 7],
  // 127 * (255 + 2) = 32639 and 127 * (255 + 4) = 32893.
  ["a small second input", [1, 1, 0, 0], [[1, 2 / 255, 0, 0]], 8],
  ["a larger one", [1, 1, 0, 0], [[1, 4 / 255, 0, 0]], 7],
  // -127 * 259 < -32768, and 127 * 255 - 127 * 255 = 0.
  ["negative sums", [-1, -1, 0, 0], [[1, 4 / 255, 0, 0]], 7],
  ["opposite signs", [1, -1, 0, 0], [[1, 1, 1, 1]], 8],
] as const)("auto, %s", async (_, weights, records, bits) => {
  const rows = records.map((row) => [...row]);
  const found = await reduced([...weights], rows, "auto");
  expect(found.bits).toBe(bits);
  expect(found.warnings.length).toBe(bits === 7 ? 1 : 0);
  // Booleans are choices too.
  expect((await reduced([...weights], rows, true)).bits).toBe(7);
  expect((await reduced([...weights], rows, false)).bits).toBe(8);
});

test("the share counts records and outputs", async () => {
  // Of 2 outputs x 4 records, one sum saturates: the first output on the last record.
  const weights = [1, 1, 1, 0, 0, 0, 0, 0];
  const records = [0, 0, 0, 1].map((second) => [1, second, 0, 0]);
  const { warnings } = await reduced(weights, records, "auto");
  expect(warnings[0]).toContain("layer1 13 %");
});

test("neighbours of a convolution are channels of one kernel position", async () => {
  const random = createRandom(3);
  const images = tensor(
    "float32",
    [8, 2, 4, 4],
    Float32Array.from({ length: 256 }, () => random.float()),
  );
  const env = environmentOf(nets[0], {
    calibration: tensorDataset({ x: images }),
    feeds: { x: images },
  });
  const run = async (weights: number[]) => {
    const model = layerModel(["N", 2, 4, 4], (g, input) =>
      g.Conv(input, g.constant(weights, { shape: [1, 2, 1, 2] })),
    );
    return apply(model, "quantize-int8", { ...exact, reduceRange: "auto" }, env);
  };
  // [channel][position]: both channels at position 0, then both positions of channel 0.
  expect((await run([1, 0, 1, 0])).warnings.length).toBe(1);
  expect((await run([1, 1, 0, 0])).warnings).toEqual([]);
});
