/** @file Distillation into copies: what the student starts from, and what it learns without labels. */
import { expect, test } from "vitest";
import { cloneModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { makeNet } from "../../src/nets/index.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { biasOf, weightsOf } from "../../src/ops/weights.ts";
import { apply, environmentOf } from "../support/apply.ts";
import { net } from "../support/quarters.ts";

const resnet = makeNet("resnet-8", 1);
const start = cloneModel(resnet);
for (const { value } of weightsOf(start)) {
  const ones = new Float32Array(value.tensor!.size).fill(1);
  start.graph.setConstant(value, tensor("float32", value.tensor!.shape, ones));
}
inferModel(start);

test("born again: every number of the copy is drawn anew, by He's variance", async () => {
  const options = { start: "fresh", width: 1, epochs: 0 };
  const { model } = await apply(start, "distil", options, environmentOf(net));
  const shapes = (of: Model) => weightsOf(of).map(({ value }) => value.tensor!.shape);
  expect(shapes(model)).toEqual(shapes(start));
  for (const { value, node } of weightsOf(model)) {
    const { shape, size } = value.tensor!;
    const numbers = Array.from(value.tensor!.numbers());
    const fanIn = size / shape[0];
    const square = numbers.reduce((sum, w) => sum + w * w, 0) / size;
    expect(square * fanIn).toBeGreaterThan(2 * (1 - 4 / Math.sqrt(size)));
    expect(square * fanIn).toBeLessThan(2 * (1 + 4 / Math.sqrt(size)));
    expect(Math.max(...numbers.map(Math.abs))).toBeLessThanOrEqual(Math.sqrt(6 / fanIn));
    const bias = biasOf(node)?.tensor?.numbers() ?? [];
    expect(Array.from(bias).every((b) => b === 0)).toBe(true);
  }
  const norms = [...model.graph.nodes].filter(({ op }) => op === "BatchNormalization");
  for (const { inputs } of norms) {
    const first = inputs.slice(1).map((input) => input!.tensor!.numbers()[0]);
    expect(first).toEqual([1, 0, 0, 1]);
  }
  // Another seed draws other numbers; what is left out keeps its own.
  const own = environmentOf(net, { seed: 2 });
  const other = await apply(start, "distil", { ...options, except: ["conv1"] }, own);
  const [kept, drawn] = weightsOf(other.model).map(({ value }) => value.tensor!.numbers());
  expect(new Set(Array.from(kept))).toEqual(new Set([1]));
  expect(drawn[0]).not.toBe(weightsOf(model)[1].value.tensor!.numbers()[0]);
});
