import { describe, expect, test } from "vitest";
import type { Fed } from "../../src/context.ts";
import type { Dataset } from "../../src/data/dataset.ts";
import { cloneModel } from "../../src/ir/model.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { createObserve } from "../../src/recipe/observe.ts";
import { trainModel } from "../../src/recipe/train.ts";
import { trainOptions } from "../../src/train/options.ts";
import { environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
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

  test.each([
    [1, 24, 24],
    [5, 24, 8], // 4 batches of 5, and 4 of one record five times
    [32, 24, 2], // 16 records twice, 8 four times
    [16, 256, 2], // more records than there are
    [8, 13, 3], // 8, 4 twice, 1 eight times
    ["N", 13, 1],
  ] as const)(
    "a model of batch %s weighs each of %i records the same",
    async (batch, wanted, runs) => {
      const model = layerModel([batch, 48], (g, x) => g.Relu(x));
      const [value] = model.graph.inputs;
      const [all] = Object.values((await env.calibration!.read([...Array(24).keys()])).inputs);
      const weights = new Map<number, number>();
      let [records, seen] = [0, 0];
      const observe = createObserve(environmentOf(net), () => {}, "test");
      const collect = (_: unknown, rows: Tensor, fed: Fed): void => {
        seen++;
        records += fed.records;
        for (let at = 0; at < rows.size; at += 48) {
          const first = rows.floats()[at];
          weights.set(first, (weights.get(first) ?? 0) + fed.share);
        }
      };
      await observe(model, [{ value }], collect, wanted);
      const count = Math.min(24, wanted);
      expect(seen).toBe(runs);
      expect(records).toBe(count);
      expect([...weights.keys()]).toEqual(
        Array.from({ length: count }, (_, i) => all.floats()[48 * i]),
      );
      for (const weight of weights.values()) expect(weight).toBeCloseTo(1, 12);
    },
  );

  test("every second record of a range", async () => {
    const [all] = Object.values((await env.calibration!.read([...Array(24).keys()])).inputs);
    const rows: number[] = [];
    const collect = (_: unknown, batch: Tensor): void => void rows.push(...batch.floats());
    const observe = createObserve(env, () => {}, "test");
    await observe(net.model, [{ value: input }], collect, { from: 3, to: 9, step: 2 });
    const expected = [3, 5, 7].flatMap((i) => [...all.floats().subarray(48 * i, 48 * i + 48)]);
    expect(rows).toEqual(expected);
  });

  test("the records that a run of training with the same share holds out, else the calibration records", async () => {
    const rows: number[] = [];
    const collect = (_: unknown, batch: Tensor): void => void rows.push(...batch.floats());
    const firsts = async (heldOut: number, around = env): Promise<number[]> => {
      rows.length = 0;
      await createObserve(around, () => {}, "test")(net.model, [{ value: input }], collect, {
        heldOut,
      });
      return rows.filter((_, i) => i % 48 === 0).sort();
    };
    const firstOf = async (records: Dataset): Promise<number[]> => {
      const { inputs } = await records.read([...Array(records.length).keys()]);
      const [all] = Object.values(inputs);
      return [...all.floats()].filter((_, i) => i % 48 === 0).sort();
    };
    const [held, training] = [await firsts(0.25), await firstOf(env.training!)];
    expect(held.length).toBe(6);
    expect(held.every((first) => training.includes(first))).toBe(true);
    const trained = new Set<number>();
    const read: Dataset["read"] = async (indices) => {
      const batch = await env.training!.read(indices);
      const [all] = Object.values(batch.inputs);
      for (let i = 0; i < all.size; i += 48) trained.add(all.floats()[i]);
      return batch;
    };
    const around = { ...env, training: { ...env.training!, read } };
    const options = trainOptions.parse({ steps: 8, batch: 8, holdout: 0.25, loss: "distil" });
    const about = { label: "1 train", original: nets[0].model };
    await trainModel(cloneModel(net.model), options, { teacher: net.model }, around, about);
    expect(trained.size).toBe(18);
    expect(held.some((first) => trained.has(first))).toBe(false);
    const calibration = await firstOf(env.calibration!);
    expect(await firsts(0)).toEqual(calibration);
    expect(await firsts(0.25, { ...env, training: null })).toEqual(calibration);
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

  describe("values that are not finite", () => {
    /** 70 records [i, i, i, i], of which those of `broken` hold another number first. */
    const given = (broken: Readonly<Record<number, number>>) => {
      const rows = Array.from({ length: 70 }, (_, i) => [broken[i] ?? i, i, i, i]);
      const x = tensor("float32", [70, 4], rows.flat());
      const warnings: string[] = [];
      const dataset = {
        ...tensorDataset({ x }, null, "npz:calib.npz"),
        numbers: rows.map((_, i) => 100 + i),
      };
      const env = environmentOf(net, { calibration: dataset });
      const observe = createObserve(
        env,
        () => {},
        "test",
        (text) => warnings.push(text),
      );
      return { observe, warnings };
    };
    const all = Array.from({ length: 70 }, (_, i) => i);
    const last = (rows: Tensor): number[] =>
      Array.from({ length: rows.size / 4 }, (_, i) => rows.floats()[4 * i + 3]);

    test.each([["N"], [1], [8], [70]] as const)(
      "batch %s: the record is left out, and told once",
      async (batch) => {
        const { observe, warnings } = given({ 3: Number.NaN, 66: Number.POSITIVE_INFINITY });
        const model = layerModel([batch, 4], (g, x) => g.Relu(x));
        const seen: number[] = [];
        let records = 0;
        const collect = (_: unknown, rows: Tensor, fed: Fed): void => {
          seen.push(...last(rows).slice(0, Math.round((rows.size / 4) * fed.share)));
          records += fed.records;
        };
        const taps = [{ value: model.graph.inputs[0] }];
        await observe(model, taps, collect);
        expect(seen).toEqual(all.filter((i) => i !== 3 && i !== 66));
        expect(records).toBe(68);
        expect(warnings).toEqual([
          'leaves out records 103 and 166 of npz:calib.npz, on which values such as "x" are not finite',
        ]);
        await observe(model, taps, () => {});
        expect(warnings.length).toBe(1);
      },
    );

    test("a record is left out of values that are finite, too", async () => {
      const { observe } = given({ 0: Number.NaN, 30: Number.NaN });
      const model = layerModel(["N", 4], (g, x) => g.Relu(x));
      const [input] = model.graph.inputs;
      const part = (g: Builder, x: typeof input) =>
        g.Slice(x, g.ints([3]), g.ints([4]), g.ints([1]));
      const seen: number[] = [];
      const taps = [
        { value: input, of: part, isPart: true },
        { value: input, isPart: false },
      ];
      await observe(
        model,
        taps,
        ({ isPart }, rows) => void (isPart && seen.push(...rows.floats())),
      );
      expect(seen).toEqual(all.filter((i) => i !== 0 && i !== 30));
    });

    test("values that never are finite hide no other, and are an error unless optional", async () => {
      const { observe, warnings } = given({ 40: Number.NaN });
      const model = layerModel(["N", 4], (g, x) => g.Relu(x));
      const [input] = model.graph.inputs;
      const masked = (g: Builder, x: typeof input) =>
        g.Sub(x, g.constant(Number.POSITIVE_INFINITY));
      const seen: number[] = [];
      const plain = { value: input };
      const collect = (tap: object, rows: Tensor): void => {
        expect(tap).toBe(plain);
        seen.push(...last(rows));
      };
      await observe(model, [{ value: input, of: masked, optional: true }, plain], collect);
      expect(seen).toEqual(all.filter((i) => i !== 40));
      expect(warnings).toEqual([expect.stringContaining("record 140 of npz:calib.npz")]);
      const needed = observe(model, [{ value: input, of: masked }], () => {});
      await expect(needed).rejects.toMatchObject({
        code: "bad-number",
        what: 'the values of "x" are not finite on any calibration record',
      });
    });
  });
});
