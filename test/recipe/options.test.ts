/** @file What is declared of an option: its limits, in words and in the remedy of an error. */
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { describeOptions, parseOptions, rangeText } from "../../src/options.ts";

const limits: Readonly<Record<string, readonly [schema: z.ZodType, words: string]>> = {
  free: [z.number(), ""],
  from: [z.number().min(1), "from 1"],
  to: [z.number().max(8), "to 8"],
  both: [z.int().min(2).max(8), "2 to 8"],
  above: [z.number().positive(), "above 0"],
  below: [z.number().lt(1), "below 1"],
  aboveTo: [z.number().positive().max(10), "above 0 to 10"],
  fromBelow: [z.number().min(0).lt(1), "0 to below 1"],
  between: [z.number().gt(0).lt(1), "above 0 to below 1"],
};

describe("limits", () => {
  test.each(Object.entries(limits))("%s", (name, [schema, words]) => {
    const [info] = describeOptions(z.strictObject({ [name]: schema }));
    expect(rangeText(info)).toBe(words);
  });

  test("the remedy names an exclusive limit", () => {
    const schema = z.strictObject({ step: z.number().positive().max(10).default(1) });
    expect(() => parseOptions(schema, { step: "0" }, "train-rate")).toThrow(
      /Give a number above 0 to 10\.$/,
    );
  });
});
