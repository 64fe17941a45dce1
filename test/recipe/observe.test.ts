import { describe, expect, test } from "vitest";
import type { Tensor } from "../../src/ir/tensor.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { createObserve } from "../../src/recipe/observe.ts";
import { environmentOf, outputsOf } from "../support/apply.ts";
import { nets } from "../support/nets.ts";

describe("observe", () => {
  const net = nets.find(({ name }) => name === "gemms")!;
  const env = environmentOf(net);
  const inner = [...net.model.graph.nodes].find(({ name }) => name === "relu1")!.output;
  const [input] = net.model.graph.inputs;
  const [output] = net.model.graph.outputs;

  /** What each wanted value was over all records, in order. */
  async function seen(values: (typeof inner)[], records?: number): Promise<Map<string, number[]>> {
    const rows = new Map<string, number[]>();
    const collect = (value: typeof inner, batch: Tensor): void => {
      rows.set(value.name, [...(rows.get(value.name) ?? []), ...batch.floats()]);
    };
    await createObserve(env, () => {})!(net.model, values, collect, records);
    return rows;
  }

  test("hands over inner values, inputs and outputs of every record, in order", async () => {
    const rows = await seen([inner, input, output]);
    const [all] = Object.values((await env.calibration!.read([...Array(24).keys()])).inputs);
    expect(rows.get(input.name)).toEqual([...all.floats()]);
    expect(rows.get(inner.name)!.length).toBe(24 * 48);
    expect(Math.min(...rows.get(inner.name)!)).toBe(0);
    const expected = await outputsOf(concat(writeModel(net.model)), { [input.name]: all });
    const scores = expected[output.name].floats();
    for (const [i, x] of rows.get(output.name)!.entries()) expect(x).toBeCloseTo(scores[i], 4);
  });

  test("stops at about the wanted number of records", async () => {
    const records = (await seen([inner], 10)).get(inner.name)!.length / 48;
    expect(records).toBeGreaterThanOrEqual(8);
    expect(records).toBeLessThanOrEqual(16);
  });

  test("leaves the model's outputs alone", async () => {
    const before = net.model.graph.outputs.map(({ name }) => name);
    await seen([inner]);
    expect(net.model.graph.outputs.map(({ name }) => name)).toEqual(before);
  });

  // The engine refuses to run for no outputs: "'fetches' cannot be an empty array".
  test.fails("graph inputs alone", async () => {
    const rows = await seen([input]);
    expect(rows.get(input.name)!.length).toBe(24 * 48);
  });
});
