/** @file Winograd tiles against the plain sums of a convolution, written out here. */
import { describe, expect, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import type { Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { kindOf, layerModel, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(3);
const some = (size: number) => Float32Array.from({ length: size }, () => random.normal());

const [N, C, K] = [2, 14, 16];
const weights = some(K * C * 9);
const bias = some(K);

interface Case {
  readonly size: readonly [number, number];
  /** Top, left, bottom, right. */
  readonly pads: readonly number[];
  readonly tile: "2" | "4";
}

const modelOf = ({ size, pads }: Pick<Case, "size" | "pads">, attributes = {}): Model =>
  layerModel(["N", C, ...size], (g: Builder, x: Value) => {
    const w = g.constant(weights, { shape: [K, C, 3, 3] });
    return g.Conv(x, w, g.constant(bias), { kernel_shape: [3, 3], pads, ...attributes });
  });

/** sum_(c, p, q) K[k, c, p, q] x[n, c, i + p - top, j + q - left] + b[k]. */
function convolved(x: Float32Array, [h, w]: readonly number[], pads: readonly number[]): number[] {
  const [top, left, bottom, right] = pads;
  const [rows, columns] = [h + top + bottom - 2, w + left + right - 2];
  const y: number[] = [];
  for (let n = 0; n < N; n++)
    for (let k = 0; k < K; k++)
      for (let i = 0; i < rows; i++)
        for (let j = 0; j < columns; j++) {
          let sum = bias[k];
          for (let c = 0; c < C; c++)
            for (let t = 0; t < 9; t++) {
              const [r, s] = [i + Math.floor(t / 3) - top, j + (t % 3) - left];
              if (r < 0 || r >= h || s < 0 || s >= w) continue;
              sum += weights[(k * C + c) * 9 + t] * x[((n * C + c) * h + r) * w + s];
            }
          y.push(sum);
        }
  return y;
}

const cases: Case[] = [
  { size: [8, 8], pads: [1, 1, 1, 1], tile: "4" },
  { size: [7, 9], pads: [1, 1, 1, 1], tile: "4" },
  { size: [7, 10], pads: [0, 0, 0, 0], tile: "4" },
  { size: [9, 6], pads: [2, 0, 1, 3], tile: "4" },
  { size: [7, 7], pads: [1, 1, 1, 1], tile: "2" },
  { size: [7, 10], pads: [0, 2, 1, 0], tile: "2" },
];

describe("tiles", () => {
  test.each(cases)("of %j are the convolution", async ({ size, pads, tile }) => {
    const model = modelOf({ size, pads });
    const env = environmentOf(nets[0]);
    const { model: tiled, bytes } = await apply(model, "winograd", { tile }, env);
    expect(weightsIn(tiled).some(({ weight }) => kindOf(weight) === "winograd")).toBe(true);
    const x = some(N * C * size[0] * size[1]);
    const { y } = await outputsOf(bytes, { x: tensor("float32", [N, C, ...size], x) });
    const expected = convolved(x, size, pads);
    expect(y.shape).toEqual([
      N,
      K,
      size[0] + pads[0] + pads[2] - 2,
      size[1] + pads[1] + pads[3] - 2,
    ]);
    const largest = Math.max(...expected.map(Math.abs));
    const errors = expected.map((value, i) => Math.abs(value - y.floats()[i]));
    expect(Math.max(...errors) / largest).toBeLessThan(tile === "4" ? 1e-5 : 2e-6);
  });

  test("are refused where filters do not slide one by one over maps of known size", async () => {
    const env = environmentOf(nets[0]);
    const reason = async (model: Model) =>
      (await apply(model, "winograd", {}, env)).skipped[0]?.reason;
    const plain = { size: [8, 8], pads: [1, 1, 1, 1] } as const;
    expect(await reason(modelOf(plain, { strides: [2, 2] }))).toMatch(/stride/);
    expect(await reason(modelOf(plain, { dilations: [2, 2] }))).toMatch(/dilated/);
    expect(await reason(modelOf({ ...plain, size: ["H", 8] as never }))).toMatch(/unknown size/);
    expect(await reason(modelOf({ ...plain, size: [3, 3], pads: [0, 0, 0, 0] }))).toMatch(
      /multiplications in tiles/,
    );
  });

  test("are taken where the layer and then the whole model are timed to be faster", async () => {
    const run = async (layer: readonly number[], ci95: readonly [number, number]) => {
      const clock = { time: async () => layer, compare: async () => ({ value: 1.1, ci95 }) };
      const env = environmentOf(nets[0]);
      const { model, skipped } = await apply(modelOf(cases[0]), "winograd", {}, env, clock);
      const tiled = weightsIn(model).filter(({ weight }) => kindOf(weight) === "winograd");
      return { tiles: tiled.map(({ weight }) => weight.shape), reason: skipped[0]?.reason };
    };
    // The convolution, tiles of 4 x 4 and of 2 x 2.
    expect(await run([1, 0.9, 0.8], [1.01, 1.2])).toEqual({
      tiles: [[16, K, C]],
      reason: undefined,
    });
    expect(await run([1, 0.8, 0.9], [1.01, 1.2])).toEqual({
      tiles: [[36, K, C]],
      reason: undefined,
    });
    expect((await run([1, 0.98, 1.1], [1.01, 1.2])).reason).toMatch(
      /^runs at 1.02x in tiles of 4 x 4, at 0.91x in tiles of 2 x 2 on .*: not worth it$/,
    );
    const { tiles, reason } = await run([1, 0.5, 0.8], [0.97, 1.2]);
    expect(tiles).toEqual([]);
    expect(reason).toMatch(
      /^stays: with 1 layer in tiles the model runs at 1.10x \(0.97 to 1.20\) on/,
    );
  });

  test("store the filters, not their transforms", async () => {
    const model = modelOf(cases[0]);
    const { bytes } = await apply(model, "winograd", {}, environmentOf(nets[0]));
    const before = concat(writeModel(model)).length;
    expect(bytes.length - before).toBeLessThan(5000);
    expect(weights.length * 4 * 3).toBeGreaterThan(5000);
  });
});
