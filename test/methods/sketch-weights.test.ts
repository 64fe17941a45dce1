/** @file Network sketching gives each output channel its own scales, whatever its axis. */
import { expect, test } from "vitest";
import { createRandom } from "../../src/numeric/random.ts";
import { readModel } from "../../src/onnx/read.ts";
import { apply, environmentOf } from "../support/apply.ts";
import { kindOf, layerModel, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(9);
const env = environmentOf(nets[0]);

/** Four values a channel, +-a +-b: two binary tensors with their own a and b make it up. */
const made = (channel: number, i: number): number =>
  (channel + 1) * ((i % 2 ? 0.75 : -0.75) + (i % 4 < 2 ? 0.25 : -0.25));

test.each([
  ["Gemm [outputs, inputs]", [12, 16], 0],
  ["MatMul [inputs, outputs]", [16, 12], 1],
  ["Conv", [12, 4, 2, 2], 0],
] as const)("%s", async (_, shape, axis) => {
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const size = shape.reduce((a, b) => a * b, 1);
  const values = Float32Array.from({ length: size }, (_, i) => {
    const channel = Math.floor(i / inner) % 12;
    const place = axis === 0 ? i % inner : Math.floor(i / 12);
    return made(channel, place);
  });
  const layer = (weight: Float32Array) =>
    layerModel(shape.length === 4 ? ["N", 4, 5, 5] : ["N", 16], (g, x) => {
      const w = g.constant(weight, { shape });
      if (shape.length === 4) return g.Conv(x, w);
      return axis === 0 ? g.Gemm(x, w, null, { transB: 1 }) : g.MatMul(x, w);
    });
  const { bytes } = await apply(layer(values), "sketch-weights", { bases: 2 }, env);
  const [{ weight }] = weightsIn(readModel(bytes, { name: "sketch" }));
  expect(kindOf(weight)).toBe("sketch");
  for (const [i, w] of weight.values.entries()) expect(w).toBeCloseTo(values[i], 5);

  const noisy = values.map((w) => w + 0.1 * random.normal());
  const errors: number[] = [];
  for (const bases of [1, 2, 3, 4]) {
    const done = await apply(layer(noisy), "sketch-weights", { bases }, env);
    const [{ weight: own }] = weightsIn(done.model);
    errors.push(noisy.reduce((sum, w, i) => sum + (w - own.values[i]) ** 2, 0));
  }
  expect(errors.every((error, k) => k === 0 || error < errors[k - 1])).toBe(true);
});
