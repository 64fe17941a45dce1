/** @file The table of metrics: what is guessed from shapes, what is refused, and how a point is counted. */
import { describe, expect, test } from "vitest";
import { lossOf } from "../../../src/measure/loss.ts";
import { marksOf } from "../../../src/measure/marks.ts";
import type { Metric } from "../../../src/measure/measurement.ts";
import { guessMetric, metricNamed, metrics } from "../../../src/measure/metrics/index.ts";
import type { Batch } from "../../../src/measure/metrics/spec.ts";
import { checkTargets, missedTargets, parseTargets } from "../../../src/recipe/target.ts";
import { floats, ints } from "../../support/judge.ts";

const picture = { image: floats([1, 3, 64, 64]) };
const shares = (steps: number, classes: number) =>
  floats([1, steps, classes], new Array(steps * classes).fill(1 / classes));

describe("guesses", () => {
  const cases: [string, Batch["outputs"], Batch["label"], Batch["inputs"]?][] = [
    ["accuracy", { y: floats([1, 10]) }, ints([1])],
    ["accuracy", { y: floats([1, 1]) }, ints([1])],
    ["perplexity", { y: floats([1, 7, 20]) }, ints([1, 7])],
    ["error-rate", { y: floats([1, 7, 20]) }, ints([1, 5])],
    ["psnr", { y: floats([1, 3, 8, 8]) }, floats([1, 3, 8, 8])],
    ["snr", { y: floats([1, 12]) }, floats([1, 12])],
    ["iou", { y: floats([1, 5, 8, 8]) }, ints([1, 8, 8])],
    ["detection", { boxes: floats([1, 9, 4]), scores: floats([1, 9, 2]) }, floats([1, 3, 5])],
    // A state whose first axis is not that of the records is no row of scores.
    ["accuracy", { state: floats([2, 1, 128]), y: floats([1, 1]) }, ints([1])],
    // Without labels
    ["fidelity", { y: floats([1, 10]) }, null, picture],
    ["fidelity", { y: floats([1, 7, 20]) }, null, { ids: ints([1, 7]) }],
    ["fidelity", { y: floats([1, 3, 64, 64]) }, null, picture],
    ["fidelity", { y: floats([1, 1, 64, 64]) }, null, picture],
    ["fidelity", { y: floats([1, 84, 100]) }, null, picture],
    ["iou", { y: floats([1, 21, 64, 64]) }, null, picture],
    ["error-rate", { y: shares(7, 20) }, null, picture],
    ["detection", { scores: floats([1, 9, 2]), boxes: floats([1, 9, 4]) }, null, picture],
    // 8 x 8 + 4 x 4 + 2 x 2 places
    ["detection", { output0: floats([1, 84, 84]) }, null, picture],
    ["detection", { output: floats([1, 252, 85]) }, null, picture],
    ["detection", { dets: floats([1, 30, 6]) }, null, picture],
  ];
  test.each(cases)("%s", (expected, outputs, label, inputs = {}) => {
    const { spec, fit } = guessMetric({ records: 1, label, outputs, inputs }, "data");
    expect(spec.id).toBe(expected);
    if (outputs.state) expect(fit.outputs).toEqual(["y"]);
  });

  test("labels that fit nothing are refused as before", () => {
    const batch = { records: 2, label: ints([2, 3]), outputs: { y: floats([2, 10]) } };
    expect(() => guessMetric(batch, "data")).toThrow("a label of shape [2,3] fits none of");
    expect(() => guessMetric(batch, "data", { mayLeaveLabels: true })).toThrow("[2,3] fits none");
  });

  test("classes of pictures are left out, and that is said, where the model is no classifier", () => {
    const outputs = { scores: floats([1, 9, 2]), boxes: floats([1, 9, 4]) };
    const batch = { records: 1, label: ints([1]), outputs, inputs: picture };
    expect(() => guessMetric(batch, "data")).toThrow("a label of shape [1] fits none");
    const { spec, fit } = guessMetric(batch, "data", { mayLeaveLabels: true });
    expect(spec.id).toBe("detection");
    expect(fit.against).toBe("original");
    expect(fit.note).toMatch(/; the labels are left out, because classes fit none of the outputs$/);
  });
});

describe("names", () => {
  test.each([
    ["detction", 'test: "detction" is no metric. Did you mean "detection"?'],
    ["top5", 'test: "top5" is no metric. Did you mean "top-5"?'],
    ["bleu", /"bleu" is no metric. Give one of: detection, .*, or .\/my-metric.ts/],
    ["detection:scor=1", /scor.*Did you mean "score"/s],
    ["detection:score", 'test: "score" has no value. Write name=value'],
    ["detection:score=2", /score/],
  ])("%s", (name, message) => {
    expect(() => metricNamed(name, "test")).toThrow(message);
  });

  test("every metric says what it reads, what it is and by what source", () => {
    for (const [id, spec] of metrics) {
      expect(id).toBe(spec.id);
      expect(spec.id).toMatch(/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/);
      expect(spec.doc).toMatch(/\.$/);
      for (const text of [spec.title, spec.reads.outputs, spec.reads.label]) {
        expect(text.length).toBeGreaterThan(2);
      }
    }
  });
});

describe("points", () => {
  const metric = (name: string, baseline: number, drop: number): Metric => ({
    ...{ name, baseline, drop, value: baseline - drop, ci95: null, dropCi95: null },
    ...{ flips: null, kl: null, sqnr: null, exact: false, n: 10 },
  });
  const mark = (own: Metric) =>
    marksOf({
      alpha: { params: 1, bytes: 1, brotli: null },
      delta: {
        infer: null,
        recipe: null,
        train: null,
        ci95: { infer: null, recipe: null, train: null },
      },
      ease: { data: "none", training: false, seconds: 0, covered: 1 },
      metric: own,
    }).performance;

  test("a drop of 0.004 is little of an SSIM, one of 0.03 much", () => {
    expect(mark(metric("ssim", 0.95, 0.004))).toBe("o");
    expect(mark(metric("ssim", 0.95, 0.03))).toBe("x");
    expect(lossOf(metric("ssim", 0.95, 0.03))).toEqual({
      ...{ value: 0.03, point: 0.01, collapse: 0.1, unit: "of ssim" },
    });
  });

  test("of a metric of one's own, a percent of the baseline is a point for a rescue", () => {
    expect(lossOf(metric("my-score", 40, 2))).toEqual({
      ...{ value: 5, point: 1, collapse: 10, unit: "% of my-score" },
    });
    expect(lossOf({ ...metric("accuracy", 90, 2), drop: null })).toBeNull();
  });
});

describe("targets", () => {
  const unlabelled = { labelled: false };

  test("a drop needs labels, or a metric that judges against the original", () => {
    const targets = parseTargets("drop<=1");
    const check = (name: string | null) => () =>
      checkTargets(targets, unlabelled, name === null ? null : metricNamed(name, "test"));
    expect(check(null)).toThrow("or a metric that judges against the original: --metric");
    expect(check("accuracy")).toThrow("without labels");
    expect(check("detection")).not.toThrow();
  });

  test("the value of every metric can be a target, in its own direction", () => {
    const [detection] = parseTargets("detection>=95");
    const result = { metric: { name: "detection", value: 90 } };
    expect(missedTargets([detection], result as never)).toEqual(["detection>=95: it is 90"]);
    expect(() => parseTargets("error-rate>=3")).toThrow("needs <=");
    expect(() => checkTargets(parseTargets("top-5>=90"), unlabelled)).toThrow("without labels");
    expect(() => checkTargets(parseTargets("iou>=90"), unlabelled)).not.toThrow();
  });
});
