/** @file Sensitivity beside whole runs of compress, each limited to one layer, on LeNet-5. */
import { expect, test } from "vitest";
import { compress, inspect, load, mnist } from "../../src/node.ts";

test("the figures of a layer are those of compress with only=LAYER", async () => {
  const model = await load(new URL("../../examples/lenet5.onnx", import.meta.url).pathname);
  const data = mnist("test", { limit: 100 });
  const calib = mnist("train", { limit: 100 });
  const settings = { data, calib, timingSeconds: 0.01 };
  const wanted = ["quantize-int8", "prune-magnitude:sparsity=0.8"];
  const found = await inspect(model, { ...settings, sensitivity: { recipes: wanted } });
  const { layers, records } = found.sensitivity ?? { layers: [] };
  expect([records, layers.length]).toEqual([100, 4]);
  const simplified = await compress(model, { ...settings, recipe: "simplify" });
  for (const [r, name, recipe] of [
    [0, "fc1", "quantize-int8:only=fc1"],
    [1, "conv2", "prune-magnitude:sparsity=0.8,only=conv2"],
  ] as const) {
    const { result } = await compress(model, { ...settings, recipe });
    const { sqnr, kl, flips, drop, dropCi95 } = result.metric as NonNullable<typeof result.metric>;
    const saved = simplified.result.bytes.raw - result.bytes.raw;
    const { damage } = layers.find((row) => row.name === name)?.recipes[r] ?? {};
    expect(damage, recipe).toEqual({ sqnr, kl, flips, drop, dropCi95, saved });
  }
});
