/** @file 1-D convolutions as 2-D ones: the same outputs whatever the window, and only where it is faster. */
import { describe, expect, test } from "vitest";
import type { Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(3);
const some = (size: number) => Float32Array.from({ length: size }, () => random.normal());
const env = environmentOf(nets[0]);
const [channels, length] = [24, 23];
const feeds = { x: tensor("float32", [2, channels, length], some(2 * channels * length)) };

/** Two convolutions with these attributes, the first of them with a bias. */
function modelOf(attributes: object = {}, group = 1, size: number | string = length): Model {
  const shape = [channels, channels / group, 5];
  const filters = () => some((channels * channels * 5) / group);
  return layerModel([2, channels, size], (g, x) => {
    const first = g.Conv(x, g.constant(filters(), { shape }), g.constant(some(channels)), {
      group,
      ...attributes,
    });
    return g.Conv(g.Relu(first), g.constant(filters(), { shape }), { group, ...attributes });
  });
}

const ranksOf = ({ graph }: Model): (number | undefined)[] =>
  [...graph.nodes].filter(({ op }) => op === "Conv").map(({ inputs }) => inputs[1]?.shape?.length);

describe("conv-1d-to-2d", () => {
  test.each<[string, object, number]>([
    ["plain", {}, 1],
    ["padded at one end more", { pads: [1, 4], kernel_shape: [5] }, 1],
    ["with a stride", { strides: [2], pads: [2, 1] }, 2],
    ["dilated", { dilations: [2], pads: [4, 4] }, 3],
    ["depthwise, padded by the operator", { auto_pad: "SAME_LOWER", strides: [2] }, channels],
  ])("computes the same: %s", async (_, attributes, group) => {
    for (const size of [length, "L"]) {
      const model = modelOf(attributes, group, size);
      const wanted = await outputsOf(concat(writeModel(model)), feeds);
      const done = await apply(model, "conv-1d-to-2d", { measure: false }, env);
      expect(done.skipped).toEqual([]);
      expect(ranksOf(done.model)).toEqual([4, 4]);
      const { y } = await outputsOf(done.bytes, feeds);
      expect(y.shape).toEqual(wanted.y.shape);
      for (const [i, value] of y.floats().entries()) {
        expect(value).toBeCloseTo(wanted.y.floats()[i], 2);
      }
    }
  });

  test("keeps what makes the whole model faster, and says what does not", async () => {
    const clock = (gain: number, ms: number) => ({
      time: async () => [2, ms],
      compare: async () => ({ value: gain, ci95: [gain - 0.05, gain + 0.05] as const }),
    });
    const run = (gain: number, ms: number) =>
      apply(modelOf(), "conv-1d-to-2d", {}, env, clock(gain, ms));
    expect(ranksOf((await run(1.2, 1)).model)).toEqual([4, 4]);
    const alone = await run(1.2, 3);
    expect(ranksOf(alone.model)).toEqual([3, 3]);
    expect(alone.skipped[0].reason).toMatch(/^would slow the model down as 2-D convolutions on /);
    const together = await run(1.02, 1);
    expect(ranksOf(together.model)).toEqual([3, 3]);
    expect(together.skipped[0].reason).toMatch(/^stays: with 2 layers as 2-D convolutions/);
  });

  test("leaves pictures alone, and everything where there is no engine to time on", async () => {
    const picture = layerModel([1, 8, 8, 8], (g, x) =>
      g.Conv(x, g.constant(some(8 * 72), { shape: [8, 8, 3, 3] })),
    );
    const { skipped } = await apply(picture, "conv-1d-to-2d", { measure: false }, env);
    expect(skipped[0].reason).toBe("is no 1-D convolution");
    const untimed = await apply(modelOf(), "conv-1d-to-2d", {}, env);
    expect(untimed.skipped.map(({ reason }) => reason)).toEqual(
      Array(2).fill("may be slower as a 2-D convolution, and there is no engine to time it on"),
    );
  });
});
