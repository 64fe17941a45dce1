/** @file Models that the engine cannot run: their weights are compressed, and nothing is claimed. */
import { expect, test } from "vitest";
import { parseModel } from "../../src/ir/parse.ts";
import { bench, compress, inspect, load, survey } from "../../src/node.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Event } from "../../src/recipe/environment.ts";

const bytes = (text: string) => concat(writeModel(parseModel(text)));
const weights = "float[64,32] w = random(1)";
const cases = {
  "an operator of a private domain": bytes(`<ir_version: 10, opset_import: ["" : 21, "plug.in" : 1]>
    g (float[N,64] x) => (float[N,32] y) <${weights}> { h = MatMul (x, w) y = plug.in.Own (h) }`),
  "inputs of unknown rank": bytes(`<ir_version: 10, opset_import: ["" : 21]>
    g (float[] x) => (float[] y) <${weights}> { h = MatMul (x, w) y = Relu (h) }`),
};

test.each(Object.entries(cases))("%s", async (_, file) => {
  const model = await load(file);
  const events: Event[] = [];
  const onEvent = (event: Event) => events.push(event);
  const { result, baseline } = await compress(model, {
    recipe: [{ method: "quantize-weights", bits: 8 }],
    onEvent,
  });
  expect(events.map((event) => "text" in event && event.text).join()).toMatch(/nothing is run/);
  expect([result.latency, result.metric, result.delta.infer, baseline.latency]).toEqual([
    null,
    null,
    null,
    null,
  ]);
  await expect(bench([model])).rejects.toThrow(/cannot-open|bad-feeds/);
  expect(result.bytes.raw).toBeLessThan(baseline.bytes.raw / 2);
  const { results } = await survey(model, { recipes: ["store-float16"], timingSeconds: 0.02 });
  expect(results).toHaveLength(2);
  expect((await inspect(model, { onEvent, timingSeconds: 0.02 })).layers.length).toBeGreaterThan(0);
});
