/** @file Groups of a transposed convolution have scales of their own. */
import { expect, test } from "vitest";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(3);
const normal = (size: number, scale: (i: number) => number = () => 1): Float32Array =>
  Float32Array.from({ length: size }, (_, i) => scale(i) * random.normal());

test.each([
  ["depthwise", 8, 1],
  ["two groups", 2, 3],
] as const)("%s: the outputs of each group keep 35 dB in 8 bits", async (_, group, outputs) => {
  // Each group's filters are ten times as large as those of the group before.
  const perGroup = 8 / group;
  const weight = normal(8 * outputs * 16, (i) => 10 ** Math.floor(i / (outputs * 16) / perGroup));
  const model = layerModel([1, 8, 6, 6], (g, x) =>
    g.ConvTranspose(x, g.constant(weight, { shape: [8, outputs, 4, 4] }), null, {
      group,
      strides: [2, 2],
      kernel_shape: [4, 4],
    }),
  );
  const x = tensor("float32", [1, 8, 6, 6], normal(288));
  const { bytes, skipped } = await apply(model, "quantize-weights", {}, environmentOf(nets[0]));
  expect(skipped).toEqual([]);
  const files = [concat(writeModel(model)), bytes];
  const [a, b] = await Promise.all(
    files.map(async (file) => (await outputsOf(file, { x })).y.floats()),
  );
  const size = a.length / group;
  for (let at = 0; at < a.length; at += size) {
    const [exact, actual] = [a.subarray(at, at + size), b.subarray(at, at + size)];
    const power = exact.reduce((sum, v) => sum + v * v, 0);
    const error = exact.reduce((sum, v, i) => sum + (v - actual[i]) ** 2, 0);
    expect(10 * Math.log10(power / error)).toBeGreaterThan(35);
  }
});
