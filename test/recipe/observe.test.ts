import { describe, expect, test } from "vitest";
import type { Tensor } from "../../src/ir/tensor.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { createObserve } from "../../src/recipe/observe.ts";
import { environmentOf, outputsOf } from "../support/apply.ts";
import { layerModel } from "../support/layer.ts";
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
    const taps = values.map((value) => ({ value }));
    const collect = ({ value }: { value: typeof inner }, batch: Tensor): void => {
      rows.set(value.name, [...(rows.get(value.name) ?? []), ...batch.floats()]);
    };
    await createObserve(env, () => {}, "test")(net.model, taps, collect, records);
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

  test("a model of fixed batch sees each record once, however many are asked for", async () => {
    for (const [batch, runs] of [
      [1, 24],
      [5, 4],
      [32, 1],
    ]) {
      const model = layerModel([batch, 48], (g, x) => g.Relu(x));
      const [value] = model.graph.outputs;
      let seen = 0;
      const observe = createObserve(environmentOf(net), () => {}, "test");
      await observe(model, [{ value }], () => seen++, 256);
      expect(seen).toBe(runs);
    }
  });

  test("leaves the model's outputs alone", async () => {
    const before = net.model.graph.outputs.map(({ name }) => name);
    await seen([inner]);
    expect(net.model.graph.outputs.map(({ name }) => name)).toEqual(before);
  });

  test("graph inputs alone", async () => {
    const rows = await seen([input]);
    expect(rows.get(input.name)!.length).toBe(24 * 48);
  });

  test("what a tap makes of a value, the same value twice", async () => {
    const sums: number[] = [];
    const plain: number[] = [];
    const taps = [
      { value: inner, of: (g: Builder, x: typeof inner) => g.ReduceSum(x, g.ints([1])), to: sums },
      { value: inner, to: plain },
    ];
    await createObserve(env, () => {}, "test")(net.model, taps, ({ to }, batch) => {
      to.push(...batch.floats());
    });
    expect(sums.length).toBe(24);
    const first = plain.slice(0, 48).reduce((a, b) => a + b, 0);
    expect(sums[0]).toBeCloseTo(first, 3);
  });
});
