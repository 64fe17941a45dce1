/** @file Error rates: best paths by hand, edit distances by recursion; neighbours by sorting. */
import { describe, expect, test } from "vitest";
import { collapsePath } from "../../../src/measure/metrics/error-rate.ts";
import { neighbours } from "../../../src/measure/metrics/retrieval.ts";
import { createRandom } from "../../../src/numeric/random.ts";
import { editDistance } from "../../../src/util/edit-distance.ts";
import { fitOf, floats, ints, judgeOf } from "../../support/judge.ts";

/** Scores [T, C] whose largest are at the path. */
const along = (path: readonly number[], classes = 4) =>
  [
    path.flatMap((own) => Array.from({ length: classes }, (_, c) => (c === own ? 1 : 0))),
    [path.length, classes],
  ] as never;

describe("error rate", () => {
  test("repetitions count once, unless a blank is between them", () => {
    expect(collapsePath([0, 2, 2, 0, 2, 3, 3, 0], 0)).toEqual([2, 2, 3]);
    expect(collapsePath([3, 1, 1, 3, 2], 3)).toEqual([1, 2]);
    expect(collapsePath([], 0)).toEqual([]);
  });

  test("edit distances are those of the recursion", () => {
    expect(editDistance("kitten", "sitting")).toBe(3);
    const random = createRandom(2);
    const recursion = (a: readonly number[], b: readonly number[]): number => {
      if (a.length === 0 || b.length === 0) return a.length + b.length;
      const [, ...restA] = a;
      const [, ...restB] = b;
      return Math.min(
        recursion(restA, b) + 1,
        recursion(a, restB) + 1,
        recursion(restA, restB) + (a[0] === b[0] ? 0 : 1),
      );
    };
    for (let i = 0; i < 30; i++) {
      const text = () => Array.from({ length: random.int(6) }, () => random.int(3));
      const [a, b] = [text(), text()];
      expect(editDistance(a, b)).toBe(recursion(a, b));
    }
  });

  test("of characters, by labels; a drop in percent of them", () => {
    const judge = judgeOf("error-rate", { y: floats([1, 6, 4]) }, ints([1, 3]));
    // Reads 1 2, labelled 1 2 3: one of three. Reads 3 3, labelled 3 (padded): one of one.
    judge.add(along([1, 1, 0, 2, 0, 0]), [1, 2, 3], along([1, 0, 2, 0, 3, 0]));
    judge.add(along([3, 0, 3, 0, 0, 0]), [3, -1, -1], along([3, 3, 3, 0, 0, 0]));
    const { value, words, flips, dropCi95 } = judge.finish();
    expect(value).toBe(50);
    expect(words).toBe("2 of 4 characters wrong, 2 of 2 texts changed");
    expect(flips).toBe(100);
    expect((dropCi95![0] + dropCi95![1]) / 2).toBeCloseTo(50, 9);
  });

  test("against the original, with the blank that it uses most, first or last", () => {
    const judge = judgeOf("error-rate", { y: floats([1, 5, 4]) });
    judge.add(along([3, 1, 3, 3, 3]), null, along([3, 1, 3, 0, 3]));
    expect(judge.finish()).toMatchObject({
      value: 50,
      words: "1 of 2 characters differ, 1 of 1 texts changed",
    });
    const first = judgeOf("error-rate:blank=0", { y: floats([1, 5, 4]) });
    first.add(along([3, 1, 3, 3, 3]), null, along([3, 1, 3, 0, 3]));
    // 3 1 3 and 3 1 3 3
    expect(first.finish().value).toBe(25);
  });

  test("of words, between separators", () => {
    const judge = judgeOf("error-rate:space=1,blank=0", { y: floats([1, 7, 4]) });
    // "2 | 3 2 | 3" and "2 | 3 3 | 3": one word of three.
    judge.add(along([2, 1, 3, 2, 1, 3, 0]), null, along([2, 1, 3, 0, 3, 1, 3]));
    expect(judge.finish().value).toBeCloseTo(100 / 3, 9);
  });

  test("no text in any record, and no text any more, are told", () => {
    const judge = judgeOf("error-rate", { y: floats([1, 2, 4]) });
    judge.add(along([0, 0]), null, along([0, 0]));
    expect(judge.finish()).toMatchObject({
      value: 0,
      warnings: ["the original reads no characters in any record"],
    });
    judge.add(along([0, 0]), null, along([0, 2]));
    expect(judge.finish()).toMatchObject({ only: "no text at all" });
  });

  test("scores [T, 1, C] of one record are read too; flat outputs are refused", () => {
    const fit = fitOf("error-rate", { y: floats([40, 1, 30]) });
    expect(fit).toMatchObject({ note: "texts read from y, 40 steps of 30 classes (CTC)" });
    expect(fitOf("error-rate", { y: floats([1, 30]) })).toMatch(/^no output holds class scores/);
  });
});

describe("retrieval", () => {
  test("neighbours are those of sorted cosines", () => {
    const random = createRandom(4);
    const vectors = Array.from({ length: 30 }, () => {
      const v = Float64Array.from({ length: 5 }, () => random.normal());
      const length = Math.sqrt(v.reduce((sum, x) => sum + x * x, 0));
      return v.map((x) => x / length);
    });
    const found = neighbours(vectors, 4);
    vectors.forEach((v, i) => {
      const cosine = (j: number) => vectors[j].reduce((sum, x, d) => sum + x * v[d], 0);
      const order = vectors.map((_, j) => j).filter((j) => j !== i);
      expect(found[i]).toEqual(order.sort((a, b) => cosine(b) - cosine(a)).slice(0, 4));
    });
  });

  test("recall, the nearest neighbours that changed, and the mean cosine", () => {
    const judge = judgeOf("retrieval:k=1", { y: floats([1, 2]) });
    const at = (degrees: number, length = 1) =>
      [Math.cos, Math.sin].map((f) => length * f((degrees * Math.PI) / 180));
    // Neighbours by the original: 0-10, 10-0, 90-100, 100-90; the last moves to 5, with another length.
    const own = [0, 10, 90, 5];
    [0, 10, 90, 100].forEach((degrees, i) => {
      judge.add(at(own[i], 3), null, at(degrees));
    });
    const { value, flips, words } = judge.finish();
    // 0 -> 5 (was 10), 10 -> 5 (was 0), 90 -> 10 (was 100), 5 -> 0 or 10 (was 90).
    expect(value).toBe(0);
    expect(flips).toBe(100);
    const cosine = (3 + Math.cos((95 * Math.PI) / 180)) / 4;
    expect(words).toBe(
      `recall at 1; mean cosine ${cosine.toFixed(4)}; another nearest neighbour for 4 of 4`,
    );
  });

  test("equal embeddings keep all; k is at most half of the records", () => {
    const judge = judgeOf("retrieval", { y: floats([1, 2]) });
    for (const v of [
      [1, 0],
      [0.9, 0.2],
      [0, 1],
      [0.1, 1],
      [1, 1],
    ])
      judge.add(v, null, v);
    expect(judge.finish()).toMatchObject({
      value: 100,
      flips: 0,
      warnings: ["recall is taken at 2 of 5 records, not at 10"],
    });
  });
});
