/** @file What is loaded from a file that the engine could not run as it is. */
import { expect, test } from "vitest";
import { parseModel } from "../../src/ir/parse.ts";
import { compress, load } from "../../src/node.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";

test("a LayerNormalization whose bias is named and left out runs, and is its own file otherwise", async () => {
  const model = parseModel(`<ir_version: 10, opset_import: ["" : 21]>
    g (float[2,3] x) => (float[2,3] y) <float[3] scale = {1, 2, 3}, float[3] b = {4, 5, 6}> {
      y = LayerNormalization (x, scale, b)
    }`);
  const given = await load(concat(writeModel(model)));
  expect(given.source.bytes).toEqual(concat(writeModel(model)));
  const [node] = model.graph.sorted();
  node.setInput(2, null);
  const bytes = concat(writeModel(model));
  expect(node.inputs.length).toBe(3);
  const around = { timingSeconds: 0.01, threads: 1 };
  const { result } = await compress(await load(bytes), { ...around, recipe: "simplify" });
  expect(result.skipped).toEqual([]);
});
