/** @file Mixed precision on a model in which one layer counts a hundred times as much as the other. */
import { expect, test } from "vitest";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { bitsOf } from "../../src/weights/weight.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { relativeError } from "../support/error.ts";
import { layerModel, partOf, weightsIn } from "../support/layer.ts";

const random = createRandom(31);
const normal = (length: number, scale = 1): Float32Array =>
  Float32Array.from({ length }, () => scale * random.normal());

test("the layer that outputs depend on gets more bits, within the mean that was asked for", async () => {
  const [large, small] = [normal(16 * 12), normal(16 * 12, 0.01)];
  const model = layerModel(["N", 12], (g, x) =>
    g.Add(
      g.MatMul(x, g.constant(large, { shape: [12, 16] })),
      g.MatMul(x, g.constant(small, { shape: [12, 16] })),
    ),
  );
  const x = tensor("float32", [64, 12], normal(64 * 12));
  const data = tensorDataset({ x });
  const env = environmentOf(
    { name: "sum", model, feeds: () => ({ x }) },
    { calibration: data, training: data },
  );
  const { bytes: start } = await apply(model, "quantize-mixed", { except: ["*"] }, env);
  const original = await outputsOf(start, { x });
  const mixed = await apply(model, "quantize-mixed", { bits: 4 }, env);
  const widths = weightsIn(mixed.model).map(({ weight }) =>
    bitsOf(Int8Array.from(Array.from(partOf(weight, "levels"))), true),
  );
  expect(widths[0]).toBeGreaterThanOrEqual(5);
  expect(widths[1]).toBeLessThan(widths[0]);
  expect(widths[0] + widths[1]).toBeLessThanOrEqual(8);
  const uniform = await apply(model, "quantize-gptq", { bits: 4 }, env);
  const errorOf = async (bytes: Uint8Array): Promise<number> =>
    relativeError(await outputsOf(bytes, { x }), original);
  expect(await errorOf(mixed.bytes)).toBeLessThan(0.6 * (await errorOf(uniform.bytes)));
});
