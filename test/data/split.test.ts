/** @file splitDataset: a partition, seeded, with every class in proportion. */
import fc from "fast-check";
import { expect, it } from "vitest";
import type { Dataset } from "../../src/data/dataset.ts";
import { splitDataset } from "../../src/data/split.ts";
import { tensor } from "../../src/ir/tensor.ts";

/** Records that hold their own index. */
function records(labels: number[] | null, length = labels?.length ?? 0): Dataset {
  return {
    name: "numbers",
    length,
    classes: null,
    labelled: labels !== null,
    labels: labels && Int32Array.from(labels),
    read: async (indices) => ({
      inputs: { x: tensor("int32", [indices.length], [...indices]) },
      label:
        labels &&
        tensor(
          "int64",
          [indices.length],
          indices.map((i) => labels[i]),
        ),
      size: indices.length,
    }),
  };
}

const all = async (data: Dataset) => {
  const batch = await data.read(Array.from({ length: data.length }, (_, i) => i));
  return { x: [...batch.inputs.x.numbers()], labels: batch.label && [...batch.label.numbers()] };
};

it("parts the records in two, the rest in order, labels with their records", async () => {
  const input = fc.record({
    labels: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 2, maxLength: 60 }),
    part: fc.double({ min: 0, max: 1, noNaN: true }),
    seed: fc.integer(),
  });
  await fc.assert(
    fc.asyncProperty(input, async ({ labels, part, seed }) => {
      const count = Math.min(labels.length - 1, 1 + Math.floor(part * labels.length));
      const { calibration, rest } = splitDataset(records(labels), { count, seed });
      const [taken, left] = [await all(calibration), await all(rest)];
      expect(taken.x.length).toBe(count);
      expect([...taken.x, ...left.x].sort((a, b) => a - b)).toEqual(labels.map((_, i) => i));
      expect(left.x).toEqual([...left.x].sort((a, b) => a - b));
      for (const half of [taken, left]) expect(half.labels).toEqual(half.x.map((i) => labels[i]));
      expect([...calibration.labels!]).toEqual(taken.labels);
      for (const label of new Set(labels)) {
        const share = (labels.filter((l) => l === label).length * count) / labels.length;
        const got = taken.labels!.filter((l) => l === label).length;
        expect(Math.abs(got - share)).toBeLessThan(1);
      }
    }),
    { numRuns: 60 },
  );
});

it("gives the same part for a seed, another for another, with or without labels", async () => {
  for (const data of [records(null, 100), records(Array.from({ length: 100 }, (_, i) => i % 10))]) {
    const part = async (seed: number) =>
      (await all(splitDataset(data, { fraction: 0.2, seed }).calibration)).x;
    expect(await part(1)).toEqual(await part(1));
    expect(await part(1)).not.toEqual(await part(2));
    expect(await part(1)).toHaveLength(20);
  }
});

it("refuses to take nothing or everything", () => {
  for (const count of [0, 10, 11, 1.5]) {
    expect(() => splitDataset(records(null, 10), { count, seed: 0 })).toThrow(
      `bad-option: numbers: ${count} of 10 records cannot be set aside. Give a count from 1 to 9.`,
    );
  }
});
