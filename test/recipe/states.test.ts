/** @file States that are fed back from an output: each record keeps the one that it met. */
import { expect, test } from "vitest";
import { completed } from "../../src/data/complete.ts";
import { feedingOf } from "../../src/data/feed.ts";
import { TersorError } from "../../src/errors.ts";
import { parseModel } from "../../src/ir/parse.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { withStates } from "../../src/recipe/states.ts";
import { runtime } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";

// s' = s / 2 + x, in both layers of a state whose batch is the second axis.
const model = parseModel(`<ir_version: 10, opset_import: ["" : 21]>
  g (float[2,N,1] s, float[N,1] x) => (float[N,1] y, float[2,N,1] t)
  <float half = {0.5}, int64[1] first = {0}>
  { m = Mul (s, half) t = Add (m, x) l = ReduceMean (t, first) y = Squeeze (l, first) }`);
inferModel(model);

async function stepped(input: string) {
  const session = await runtime.open({ bytes: concat(writeModel(model)) });
  const x = tensorDataset({ x: tensor("float32", [4, 1], [1, 2, 3, 4]) });
  const feeding = feedingOf(input);
  const ports = session.inputs;
  const data = completed(x, { ports, feeding, model });
  try {
    return await withStates(data, session, ports, feeding);
  } finally {
    await session.close();
  }
}

test("in any order, along the state's own axis", async () => {
  const data = await stepped("s=feedback:t");
  const { inputs } = await data.read([3, 1, 0]);
  expect(inputs.s.shape).toEqual([2, 3, 1]);
  // 0, 1, 2.5, 4.25 are the states before the records 0 to 3.
  expect([...inputs.s.numbers()]).toEqual([4.25, 1, 0, 4.25, 1, 0]);
  expect([...inputs.x.numbers()]).toEqual([4, 2, 1]);
});

test("an output that is not there is refused with those that are", async () => {
  const error = await stepped("s=feedback:z").catch((cause) => cause);
  expect(error).toBeInstanceOf(TersorError);
  expect(error.message).toContain("Give --input s=feedback:y, or s=feedback:t");
});
