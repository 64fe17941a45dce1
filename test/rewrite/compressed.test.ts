/** @file Scales of channels behind weights that are stored in a form: folded into the form's own. */
import { expect, test } from "vitest";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { build } from "../../src/ops/builder.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { rewrite } from "../../src/rewrite/index.ts";
import { expand } from "../../src/weights/expand.ts";
import { gridOf } from "../../src/weights/forms/grid.ts";
import { readWeight } from "../../src/weights/read.ts";
import { runtime } from "../support/apply.ts";
import { tinyModel } from "../support/tiny.ts";

const [outputs, inputs] = [4, 3];
const random = createRandom(2);
const some = (size: number) => Float32Array.from({ length: size }, () => random.normal());
const x = tensor("float32", [2, inputs, 5, 5], some(2 * inputs * 25));

/** Conv of one-bit weights -> BatchNormalization with these scales. */
function normalized(gamma: readonly number[], bits: number) {
  const model = readModel(
    tinyModel({
      inputs: [{ name: "x", dims: [2, inputs, 5, 5] }],
      outputs: [{ name: "y", dims: [2, outputs, 3, 3] }],
      nodes: [
        { op: "Conv", inputs: ["x", "W"], outputs: ["c"] },
        { op: "BatchNormalization", inputs: ["c", "g", "b", "m", "v"], outputs: ["y"] },
      ],
      weights: [
        { name: "W", dims: [outputs, inputs, 3, 3], data: some(outputs * inputs * 9) },
        { name: "g", dims: [outputs], data: Float32Array.from(gamma) },
        { name: "b", dims: [outputs], data: some(outputs) },
        { name: "m", dims: [outputs], data: some(outputs) },
        { name: "v", dims: [outputs], data: some(outputs).map((v) => v * v + 0.5) },
      ],
    }),
  );
  const [{ node, value }] = weightsOf(model);
  const most = bits === 1 ? 1 : 2 ** (bits - 1);
  const levels = Int8Array.from({ length: outputs * inputs * 9 }, (_, i) =>
    i % 3 ? most - Number(bits > 1) : -most,
  );
  const grid = gridOf(levels, [outputs, inputs, 3, 3], {
    scales: Float32Array.of(0.5),
    axis: null,
    block: null,
    bits,
  });
  node.setInput(1, expand(build(model.graph, value.name), grid));
  model.graph.removeConstant(value);
  inferModel(model);
  return model;
}

const run = async (model: ReturnType<typeof normalized>) => {
  const session = await runtime.open({ bytes: concat(writeModel(model)) }, { threads: 1 });
  const { y } = await session.run({ x });
  await session.close();
  return y.floats();
};

test("a normalization goes into the scales of one-bit weights, its signs into their levels", async () => {
  const model = normalized([0.5, -2, 1, -0.1], 1);
  const before = await run(model);
  rewrite(model);
  expect([...model.graph.nodes].map(({ op }) => op)).not.toContain("BatchNormalization");
  const [use] = weightsOf(model);
  const weight = readWeight(use.value);
  expect(weight?.form?.kind).toBe("grid");
  const after = await run(model);
  for (const [i, y] of before.entries()) expect(after[i]).toBeCloseTo(y, 4);
});

test.each([
  ["a scale of 0", [1, 0, 1, 1], 1],
  ["a sign that the levels cannot take, -8 in 4 bits", [1, -1, 1, 1], 4],
])("%s leaves the normalization", async (_, gamma, bits) => {
  const model = normalized(gamma, bits);
  rewrite(model);
  expect([...model.graph.nodes].map(({ op }) => op)).toContain("BatchNormalization");
});
