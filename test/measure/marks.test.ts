/** @file Marks at and around every threshold, and what "not measured" gives. */
import { expect, test } from "vitest";
import { defaultThresholds, marksOf, opinions } from "../../src/measure/marks.ts";
import { type Metric, type Result, untimed } from "../../src/measure/measurement.ts";

type Row = Pick<Result, "alpha" | "delta" | "ease" | "metric">;

const easy: Row["ease"] = { data: "unlabelled", training: false, seconds: 10, covered: 1 };
const accuracy = (drop: number | null, flips: number | null = null): Metric => ({
  name: "accuracy",
  value: 90,
  baseline: null,
  drop,
  ci95: null,
  dropCi95: null,
  flips,
  kl: null,
  sqnr: null,
  exact: null,
  n: 100,
});

interface Part extends Partial<Row> {
  readonly bytes?: number;
  readonly infer?: number | null;
  readonly ci95?: readonly [number, number];
}

const row = (part: Part): Row => ({
  alpha: { params: 1, bytes: part.bytes ?? 1, brotli: null },
  delta: {
    ...untimed,
    infer: part.infer ?? null,
    ci95: { ...untimed.ci95, infer: part.ci95 ?? null },
  },
  ease: part.ease ?? easy,
  metric: part.metric ?? null,
});

test.each([
  [2, "o"],
  [1.99, "△"],
  [1.2, "△"],
  [1.19, "x"],
  [0.9, "x"],
])("%f times smaller: %s", (bytes, mark) => {
  expect(marksOf(row({ bytes })).size).toBe(mark);
});

test.each([
  [1.3, "o"],
  [1.29, "△"],
  [0.95, "△"],
  [0.94, "x"],
  [null, "?"],
  [Number.NaN, "?"],
])("%s times faster: %s", (infer, mark) => {
  expect(marksOf(row({ infer })).speed).toBe(mark);
});

test.each([
  [1.4, [0.9, 2.1], "△"], // may be no faster
  [0.9, [0.8, 1.01], "△"], // nor slower
  [0.9, [0.85, 0.99], "x"],
  [1.4, [1.2, 1.6], "o"],
] as const)("%d times faster with the interval %j: %s", (infer, ci95, mark) => {
  expect(marksOf(row({ infer, ci95 })).speed).toBe(mark);
});

test.each([
  [-1, null, "o"],
  [0.5, null, "o"],
  [98.9 - 98.4, null, "o"], // 0.5 plus a rounding error
  [0.51, null, "△"],
  [2, null, "△"],
  [2.01, null, "x"],
  [Number.NaN, null, "x"],
  [null, 0.5, "o"], // flips bound the drop
  [null, 2, "△"],
  [null, 30, "?"], // and prove nothing when there are many
  [null, null, "?"],
])("drop %s, flips %s: %s", (drop, flips, mark) => {
  expect(marksOf(row({ metric: accuracy(drop, flips) })).performance).toBe(mark);
});

test("equal outputs keep whatever the metric would be", () => {
  const fidelity = { ...accuracy(null), name: "fidelity", value: Infinity, exact: true };
  expect(marksOf(row({ metric: fidelity })).performance).toBe("o");
  expect(marksOf(row({ metric: { ...fidelity, value: 80, exact: false } })).performance).toBe("?");
});

test.each([
  [{}, "o"],
  [{ data: "none" }, "o"],
  [{ training: true }, "△"],
  [{ training: true, data: "labelled" }, "△"],
  [{ training: true, data: "labelled", seconds: 601 }, "x"],
  [{ seconds: 601, covered: 0.4 }, "△"],
  [{ training: true, seconds: 601, covered: 0.4 }, "x"],
] as const)("what the run needed: %o is %s", (needed, mark) => {
  expect(marksOf(row({ ease: { ...easy, ...needed } })).ease).toBe(mark);
});

test("thresholds are the caller's to change", () => {
  const strict = { ...defaultThresholds, size: { good: 10, fair: 5 } };
  expect(marksOf(row({ bytes: 4 }), strict).size).toBe("x");
  expect(marksOf(row({ bytes: 4 })).size).toBe("o");
});

test("the survey's opinions, word for word from its reader's table", () => {
  const table = Object.entries(opinions).map(([family, { size, speed, ease, performance }]) =>
    [family, size + speed + ease + performance].join(" "),
  );
  expect(table).toEqual([
    "quantization oooo",
    "pruning oxxo",
    "structured ooxx",
    "low-rank ooxo",
    "filters ooo△",
    "distillation oooo",
  ]);
});
