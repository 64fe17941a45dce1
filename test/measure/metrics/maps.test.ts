/** @file Mean IoU: against areas counted by hand and by sets of pixels. */
import { expect, test } from "vitest";
import { createRandom } from "../../../src/numeric/random.ts";
import { fitOf, floats, ints, judgeOf } from "../../support/judge.ts";

const scoresOf = (classes: readonly number[], count: number): number[] =>
  Array.from({ length: count }, (_, c) => classes.map((own) => (own === c ? 2 : -1))).flat();

test("by hand, against labels of which one pixel does not count", () => {
  // found 0 0 1 2, labelled 0 1 1 (void): class 0: 1 / 2, class 1: 1 / 2; class 2 is only in the void.
  const judge = judgeOf("iou", { y: floats([1, 3, 2, 2]) }, ints([1, 2, 2]));
  judge.add(
    [scoresOf([0, 0, 1, 2], 3), [3, 2, 2]] as never,
    [
      [0, 1, 1, 255],
      [2, 2],
    ] as never,
    null,
  );
  const verdict = judge.finish();
  expect(verdict.value).toBeCloseTo(50, 12);
  expect(verdict.flips).toBeNull();
  expect(verdict.ci95).toBeNull(); // a single record
});

test("classes that are wrong on one side only lower both", () => {
  // found 0 0 0 0, labelled 0 0 0 2: class 0: 3 / 4, class 2: 0 / 1.
  const judge = judgeOf("iou", { y: floats([1, 3, 2, 2]) }, ints([1, 2, 2]));
  judge.add(
    [scoresOf([0, 0, 0, 0], 3), [3, 2, 2]] as never,
    [
      [0, 0, 0, 2],
      [2, 2],
    ] as never,
    null,
  );
  expect(judge.finish()).toMatchObject({ value: 37.5, words: "lowest: class 2 with 0.00 %" });
});

test("against the original over many records: by sets of pixels, in both orders of axes", () => {
  const random = createRandom(3);
  const [classes, size, n] = [4, 30, 25];
  const planar = judgeOf("iou", { y: floats([1, classes, 5, 6]) }, null, {
    x: floats([1, 3, 5, 6]),
  });
  const packed = judgeOf("iou", { y: floats([1, 5, 6, classes]) }, null, {
    x: floats([1, 5, 6, 3]),
  });
  const own: string[] = [];
  const before: string[] = [];
  for (let r = 0; r < n; r++) {
    const original = Array.from({ length: size }, () => random.int(classes));
    const found = original.map((c) => (random.float() < 0.2 ? random.int(classes) : c));
    before.push(...original.map((c, i) => `${c} ${r} ${i}`));
    own.push(...found.map((c, i) => `${c} ${r} ${i}`));
    const values = (list: number[]) => scoresOf(list, classes);
    const turn = (flat: number[]) =>
      Array.from(
        { length: size * classes },
        (_, k) => flat[(k % classes) * size + Math.floor(k / classes)],
      );
    planar.add([values(found), [classes, 5, 6]] as never, null, [
      values(original),
      [classes, 5, 6],
    ] as never);
    packed.add([turn(values(found)), [5, 6, classes]] as never, null, [
      turn(values(original)),
      [5, 6, classes],
    ] as never);
  }
  const each = Array.from({ length: classes }, (_, c) => {
    const a = new Set(own.filter((key) => key.startsWith(`${c} `)));
    const b = new Set(before.filter((key) => key.startsWith(`${c} `)));
    const both = [...a].filter((key) => b.has(key)).length;
    return both / (a.size + b.size - both);
  });
  const expected = (100 * each.reduce((x, y) => x + y)) / classes;
  const verdict = planar.finish();
  expect(verdict.value).toBeCloseTo(expected, 9);
  expect(packed.finish().value).toBeCloseTo(expected, 9);
  expect(verdict.flips).toBeCloseTo(
    (100 * own.filter((key, i) => key !== before[i]).length) / own.length,
    9,
  );
  expect(verdict.ci95![0]).toBeLessThan(expected);
  expect(verdict.ci95![1] - verdict.ci95![0]).toBeLessThan(10);
});

test("one channel: above 0.5, or above 0 of logits; one class everywhere is told", () => {
  const judge = judgeOf("iou", { y: floats([1, 1, 2, 2]) });
  const map = (values: number[]) => [values, [1, 2, 2]] as never;
  judge.add(map([0.9, 0.6, 0.4, 0.1]), null, map([0.9, 0.4, 0.4, 0.1]));
  expect(judge.finish().value).toBeCloseTo((100 * (1 / 2 + 2 / 3)) / 2, 9);
  const logits = judgeOf("iou", { y: floats([1, 1, 2, 2]) });
  logits.add(map([-1, -1, -2, -3]), null, map([3, 0.2, -2, -3]));
  expect(logits.finish()).toMatchObject({ only: "class 0", flips: 50 });
});

test("classes of an integer type are taken as they are", () => {
  const judge = judgeOf("iou", { y: ints([1, 2, 2]) }, ints([1, 2, 2]));
  judge.add(
    [
      [7, 7, 0, 0],
      [2, 2],
    ] as never,
    [
      [7, 0, 0, 0],
      [2, 2],
    ] as never,
    null,
  );
  expect(judge.finish().value).toBeCloseTo((100 * (1 / 2 + 2 / 3)) / 2, 9);
});

test("shapes that hold no map are refused", () => {
  expect(fitOf("iou", { y: floats([1, 10]) })).toBe(
    "there are no maps of classes among the outputs y [1,10]",
  );
});
