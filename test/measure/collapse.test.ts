/** @file Collapse: which losses are told as such, in the units of each metric. */
import { expect, test } from "vitest";
import { collapseOf } from "../../src/measure/collapse.ts";
import type { Metric } from "../../src/measure/measurement.ts";
import { floats, ints, judgeOf } from "../support/judge.ts";

const metric = (changes: Partial<Metric>): Metric => ({
  ...{ name: "accuracy", value: 79.9, baseline: 90, drop: 10.1, ci95: null, dropCi95: null },
  ...{ flips: 24, kl: 0, sqnr: 3, exact: false, n: 10 },
  ...changes,
});

test.each<[string, Partial<Metric>, RegExp | null]>([
  ["accuracy", {}, /^quality has collapsed \(accuracy 90 -> 79.9\)/],
  ["accuracy, less", { drop: 9.9 }, null],
  ["perplexity", { name: "perplexity", value: 6.1, baseline: 4, drop: 2.1 }, /perplexity 4 -> 6.1/],
  ["perplexity, less", { name: "perplexity", value: 15.8, baseline: 12, drop: 3.8 }, null],
  ["pictures", { name: "psnr", value: 24, baseline: 31, drop: 7 }, /psnr 31 -> 24/],
  ["pictures, less", { name: "psnr", value: 26, baseline: 31, drop: 5 }, null],
  ["without labels", { name: "fidelity", value: 8, baseline: null, drop: null, flips: 25 }, /25 %/],
  ["without labels, less", { name: "fidelity", value: 8, baseline: null, drop: null }, null],
])("%s", (_, changes, expected) => {
  const found = collapseOf(metric(changes));
  if (expected === null) expect(found).toBeNull();
  else expect(found).toMatch(expected);
});

test("one class for every record is told if the original gave several", () => {
  const rows = [
    [3, 1, 0],
    [2, 1, 0],
    [5, 4, 0],
  ];
  const verdictOver = (originals: readonly number[][]) => {
    const judge = judgeOf("accuracy", { y: floats([1, 3]) }, ints([1]));
    for (const [i, row] of rows.entries()) {
      judge.add(Float32Array.from(row), [0], Float32Array.from(originals[i]));
    }
    return judge.finish().only;
  };
  expect(
    verdictOver([
      [0, 1, 0],
      [1, 0, 0],
      [1, 0, 0],
    ]),
  ).toBe("class 0");
  expect(
    verdictOver([
      [1, 0, 0],
      [1, 0, 0],
      [1, 0, 0],
    ]),
  ).toBeUndefined();
});
