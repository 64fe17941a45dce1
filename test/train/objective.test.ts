/** @file Which loss is chosen for which labels, and what is refused rather than ignored. */
import { describe, expect, test } from "vitest";
import { type LossId, type LossTarget, objectiveOf } from "../../src/train/objective.ts";

const of = (
  loss: LossId,
  kind: LossTarget["kind"],
  { smoothing = 0, hints = [] as string[], teacher = true, classes = 3 as number | null } = {},
) => objectiveOf({ loss, smoothing, hints }, { kind, classes }, teacher);

describe("refuses what would be ignored", () => {
  test.each([
    ["kd", "none"],
    ["logits", "classes"],
    ["features", "classes"],
    ["mse", "target"],
    ["bce", "binary"],
  ] as const)("label smoothing of %s over %s", (loss, kind) => {
    expect(() => of(loss, kind, { smoothing: 0.1 })).toThrow(
      `bad-option: smoothing: loss ${loss} has no cross-entropy with labels, whose labels it smooths. Leave it out`,
    );
  });

  test("but not of cross-entropy and of kd with labels", () => {
    expect(of("cross-entropy", "tokens", { smoothing: 0.1 }).label).toBe(true);
    expect(of("kd", "classes", { smoothing: 0.1 }).label).toBe(true);
  });

  test.each([
    ["mse", "classes", "needs a target of the output's own shape"],
    ["mse", "tokens", "needs a target of the output's own shape"],
    ["bce", "classes", "needs a label of 0 or 1 for each score"],
    ["cross-entropy", "target", "needs an output of one score per class"],
    ["kd", "binary", "needs an output of one score per class"],
  ] as const)("%s over %s", (loss, kind, why) => {
    expect(() => of(loss, kind)).toThrow(`bad-option: loss ${loss}: ${why}`);
  });

  test("distillation of outputs that are no class scores", () => {
    expect(() => of("kd", "none", { classes: null })).toThrow("one score per class");
  });

  test.each([
    ["kd", "classes", []],
    ["features", "classes", []],
    ["cross-entropy", "classes", ["conv1"]],
  ] as const)("%s over %s with hints %o, without a teacher", (loss, kind, hints) => {
    expect(() => of(loss, kind, { teacher: false, hints: [...hints] })).toThrow(
      `bad-option: loss ${loss}: needs a teacher other than the model itself. Give --teacher <model>`,
    );
  });
});

test("hints ask the teacher whatever the loss; only kd and logits read its output", () => {
  expect(of("cross-entropy", "classes", { hints: ["conv1"] })).toMatchObject({
    teacher: true,
    scores: false,
  });
  expect(of("kd", "classes")).toMatchObject({ teacher: true, scores: true });
  expect(of("features", "classes")).toMatchObject({ teacher: true, scores: false });
  expect(of("mse", "target")).toMatchObject({ teacher: false, scores: false });
});

test("padding is left out where a row has a label of its own, and only there", () => {
  const ignoring = (["cross-entropy", "kd", "logits"] as const).map((id) => of(id, "tokens"));
  expect(ignoring.map(({ ignores }) => ignores)).toEqual([true, true, true]);
  expect(of("logits", "tokens").label).toBe(false);
  expect(of("bce", "binary").ignores).toBe(true);
  expect(of("mse", "binary").ignores).toBe(false);
  expect(of("mse", "target").ignores).toBe(false);
  expect(of("features", "tokens").ignores).toBe(false);
  expect(of("logits", "none").ignores).toBe(false);
});
