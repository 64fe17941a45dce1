/** @file Detection: overlaps by counting pixels, AP by hand, and every layout read to the same boxes. */
import { describe, expect, test } from "vitest";
import {
  averagePrecision,
  judgeBoxes,
  meanAveragePrecision,
} from "../../../src/measure/boxes/average-precision.ts";
import { type Box, compareBoxes, overlap, suppress } from "../../../src/measure/boxes/box.ts";
import { layoutOf } from "../../../src/measure/metrics/detection.ts";
import { createRandom } from "../../../src/numeric/random.ts";
import { fitOf, floats, ints, judgeOf, outputOf } from "../../support/judge.ts";

const box = (x1: number, y1: number, x2: number, y2: number, score = 0.9, kind = 0): Box => ({
  ...{ class: kind, score, x1, y1, x2, y2 },
});

/** The boxes of integer corners that a pixel lies in, counted one by one. */
function overlapByPixels(a: Box, b: Box): number {
  const inside = (o: Box, x: number, y: number) => x >= o.x1 && x < o.x2 && y >= o.y1 && y < o.y2;
  let [both, either] = [0, 0];
  for (let x = 0; x < 20; x++) {
    for (let y = 0; y < 20; y++) {
      const [p, q] = [inside(a, x, y), inside(b, x, y)];
      if (p && q) both++;
      if (p || q) either++;
    }
  }
  return either === 0 ? 0 : both / either;
}

const random = createRandom(5);
const anyBox = (kinds = 1): Box => {
  const [x, y] = [random.int(12), random.int(12)];
  const corner = [x + 1 + random.int(8), y + 1 + random.int(8)] as const;
  return box(x, y, ...corner, random.float(), random.int(kinds));
};

describe("boxes", () => {
  test("overlap is that of pixels", () => {
    expect(overlap(box(0, 0, 2, 2), box(1, 1, 3, 3))).toBeCloseTo(1 / 7, 12);
    for (let i = 0; i < 50; i++) {
      const [a, b] = [anyBox(), anyBox()];
      expect(overlap(a, b)).toBeCloseTo(overlapByPixels(a, b), 12);
    }
  });

  test("suppression keeps exactly those that no kept, surer one of the class overlaps", () => {
    const boxes = Array.from({ length: 40 }, () => anyBox(2));
    const sorted = [...boxes].sort((a, b) => b.score - a.score);
    const stays = (i: number): boolean =>
      !sorted.some(
        (other, j) =>
          j < i &&
          other.class === sorted[i].class &&
          overlapByPixels(other, sorted[i]) > 0.3 &&
          stays(j),
      );
    const kept = suppress(boxes, 0.3);
    expect(kept).toEqual(sorted.filter((_, i) => stays(i)));
    expect(kept.length).toBeLessThan(40);
  });

  test("the same box is one of the class that overlaps by a half or more; each counts once", () => {
    const before = [box(0, 0, 4, 4), box(10, 10, 14, 14)];
    // 4 x 3 of 4 x 4 is 0.75; a second copy is new; one of another class is new, and the first is lost.
    expect(compareBoxes([box(0, 0, 4, 3), box(0, 0, 4, 4)], before)).toEqual({
      kept: 1,
      lost: 1,
      added: 1,
    });
    expect(compareBoxes([box(0, 0, 4, 4, 0.9, 1)], before)).toEqual({ kept: 0, lost: 2, added: 1 });
    // Exactly one half: 4 x 2 of 4 x 4.
    expect(compareBoxes([box(0, 0, 4, 2)], before).kept).toBe(1);
    expect(compareBoxes([box(0, 0, 4, 1.9)], before).kept).toBe(0);
  });
});

describe("mean average precision", () => {
  const hit = (score: number, isRight: boolean) => ({ score, isRight });

  test("all-point interpolation, by hand", () => {
    // In order: right, wrong, right, right, wrong; 4 truths. Precision 1, 1/2, 2/3, 3/4, 3/5, of which
    // the largest from each right one on are 1, 3/4, 3/4; each is worth a recall of 1/4.
    const hits = [hit(0.5, true), hit(0.9, true), hit(0.8, false), hit(0.7, true), hit(0.2, false)];
    expect(averagePrecision(hits, 4)).toBeCloseTo((1 + 0.75 + 0.75) / 4, 12);
    expect(averagePrecision([], 4)).toBe(0);
  });

  test("a labelled box is found once; the surest box has it", () => {
    const truth = { class: 0, x1: 0, y1: 0, x2: 4, y2: 4 };
    const { hits } = judgeBoxes([box(0, 0, 4, 4, 0.5), box(0, 0, 4, 3, 0.8)], [truth]);
    expect(hits.get(0)).toEqual([hit(0.8, true), hit(0.5, false)]);
  });

  test("is the mean over the classes that have labels", () => {
    const truths = [
      { class: 0, x1: 0, y1: 0, x2: 4, y2: 4 },
      { class: 2, x1: 8, y1: 8, x2: 12, y2: 12 },
    ];
    // Class 0: found behind a wrong one (AP 1/2). Class 2: not found (0). Class 1: no labels.
    const boxes = [box(9, 0, 12, 4, 0.9), box(0, 0, 4, 4, 0.8), box(0, 0, 4, 4, 0.8, 1)];
    expect(meanAveragePrecision([judgeBoxes(boxes, truths)])).toBeCloseTo(0.25, 12);
  });

  test("through the judge, with labels as shares of a picture of 8 x 4", () => {
    const inputs = { image: floats([1, 3, 4, 8]) };
    const outputs = { boxes: floats([1, 2, 4]), scores: floats([1, 2, 3]) };
    const judge = judgeOf("detection", outputs, floats([1, 2, 5]), inputs);
    const own = {
      boxes: [
        [0, 0, 4, 4, 4, 0, 8, 4],
        [2, 4],
      ],
      scores: [
        [0.9, 0.1, 0.2, 0.1, 0.05, 0.6],
        [2, 3],
      ],
    } as const;
    const label = [
      [0, 0, 0, 0.5, 1, -1, -1, -1, -1, -1],
      [2, 5],
    ] as const;
    judge.add(own, label as never, null);
    const verdict = judge.finish();
    expect(verdict.value).toBe(100);
    expect(verdict.warnings).toEqual([
      "the labels are shares of the picture, the outputs pixels: the labels are scaled to 8 x 4",
    ]);
    // A second record whose box is not found: recall 1/2 at precision 1, as the wrong one is less sure.
    judge.add(
      own,
      [
        [0, 4, 0, 8, 2, 0, 0, 2, 0, 4],
        [2, 5],
      ] as never,
      null,
    );
  });
});

/** Two boxes, (10, 20)-(30, 60) of class 1 with 0.8 and (40, 40)-(80, 60) of class 0 with 0.6. */
const wanted = [
  { class: 1, score: 0.8, x1: 10, y1: 20, x2: 30, y2: 60 },
  { class: 0, score: 0.6, x1: 40, y1: 40, x2: 80, y2: 60 },
];
const logit = (p: number) => Math.log(p / (1 - p));
/** Values of [n, width] in the shape [width, n]. */
const turned = (rows: readonly (readonly number[])[]) =>
  rows[0].map((_, k) => rows.map((r) => r[k]));
const nothing = Array.from({ length: 6 }, (_, i) => [i, i, 3, 3]);
const plain = (rows: readonly (readonly number[])[]) =>
  [rows.flat(), [rows.length, rows[0].length]] as const;

describe("layouts", () => {
  const centres = [[20, 40, 20, 40], [60, 50, 40, 20], ...nothing];
  const corners = [
    [10, 20, 30, 60],
    [40, 40, 80, 60],
    ...nothing.map(([x, y]) => [x, y, x + 3, y + 3]),
  ];
  const scores = [[0.1, 0.8], [0.6, 0.2], ...nothing.map(() => [0.01, 0.02])];
  const sureness = [0.8, 0.75, ...nothing.map(() => 0.1)];
  const rows = (...columns: readonly (readonly number[])[][]) =>
    columns[0].map((_, i) => columns.flatMap((column) => [...column[i]]));
  const column = (values: readonly number[]) => values.map((x) => [x]);
  const chosen = [
    [10, 20, 30, 60],
    [40, 40, 80, 60],
    [0, 0, 0, 0],
  ];

  const cases: [
    string,
    Record<string, readonly (readonly number[])[]>,
    Record<string, number[]>?,
  ][] = [
    ["corners and scores", { boxes: corners, scores }],
    ["centres and scores", { boxes: centres, scores }],
    ["logits", { scores: scores.map((row) => row.map(logit)), boxes: corners }],
    ["YOLO [4 + C, A]", { output0: turned(rows(centres, scores)) }],
    [
      "YOLO [A, 5 + C]",
      {
        output: rows(centres, column(sureness), [
          [0.1, 1],
          [0.8, 0.2],
          ...nothing.map(() => [0.1, 0.2]),
        ]),
      },
    ],
    [
      "chosen, x1 y1 x2 y2 score class",
      {
        out: rows(chosen, [
          [0.8, 1],
          [0.6, 0],
          [0, 0],
        ]),
      },
    ],
    [
      "chosen, class score x1 y1 x2 y2",
      {
        out: rows(
          [
            [1, 0.8],
            [0, 0.6],
            [0, 0],
          ],
          chosen,
        ),
      },
    ],
    [
      "chosen, picture class score x1 y1 x2 y2",
      {
        out: rows(
          [
            [0, 1, 0.8],
            [0, 0, 0.6],
            [-1, 0, 0.9],
          ],
          chosen,
        ),
      },
    ],
    [
      "chosen, picture x1 y1 x2 y2 class score",
      {
        out: rows(column([0, 0, 0]), chosen, [
          [1, 0.8],
          [0, 0.6],
          [0, 0],
        ]),
      },
    ],
  ];

  test.each(cases)("%s", (_, outputs) => {
    const shapes = Object.fromEntries(
      Object.entries(outputs).map(([name, own]) => [
        name,
        floats([1, own.length, own[0].length], own.flat()),
      ]),
    );
    expect(boxesIn(shapes, outputs)).toEqual(wanted);
  });

  test("boxes, scores and classes of their own", () => {
    const outputs = {
      boxes: floats([3, 4], chosen.flat()),
      labels: ints([3], [1, 0, 0]),
      scores: floats([3], [0.8, 0.6, 0.1]),
    };
    const values = { boxes: chosen, labels: [[1, 0, 0]], scores: [[0.8, 0.6, 0.1]] };
    expect(boxesIn(outputs, values)).toEqual(wanted);
  });

  test("softmax has a first class for nothing; TensorFlow gives y first", () => {
    const shares = [[0.1, 0.1, 0.8], [0.3, 0.6, 0.1], ...nothing.map(() => [0.98, 0.01, 0.01])];
    const turnedCorners = corners.map(([x1, y1, x2, y2]) => [y1, x1, y2, x2]);
    const outputs = {
      detection_boxes: floats([1, 8, 4], turnedCorners.flat()),
      scores: floats([1, 8, 3], shares.flat()),
    };
    const found = boxesIn(outputs, { detection_boxes: turnedCorners, scores: shares });
    expect(found).toEqual(wanted.map((b) => ({ ...b, class: b.class + 1 })));
  });

  /** The boxes of one record that score 0.25, the surest first. */
  function boxesIn(
    outputs: Parameters<typeof fitOf>[1],
    values: Record<string, readonly (readonly number[])[]>,
  ): Box[] {
    const layout = layoutOf({ records: 1, label: null, outputs })!;
    const named = Object.fromEntries(
      Object.entries(values).map(([name, own]) => [name, outputOf(plain(own) as never)]),
    );
    const rounded = layout
      .readerFor(named)(named, 0.25)
      .map((found) =>
        Object.fromEntries(Object.entries(found).map(([key, x]) => [key, Number(x.toFixed(6))])),
      );
    return suppress(rounded as unknown as Box[], 0.45);
  }
});

describe("against the original", () => {
  const outputs = { boxes: floats([1, 4, 4]), scores: floats([1, 4, 1]) };
  const record = (count: number, at = 0) => {
    const boxes = Array.from({ length: 4 }, (_, i) => [10 * i, at, 10 * i + 5, at + 5]);
    return { boxes: plain(boxes), scores: plain(boxes.map((_, i) => [i < count ? 0.9 : 0.1])) };
  };

  test("F1, in words, with an interval over records", () => {
    const judge = judgeOf("detection", outputs);
    for (let i = 0; i < 4; i++) judge.add(record(4) as never, null, record(4) as never);
    judge.add(record(3) as never, null, record(4) as never);
    const { value, words, flips, ci95, dropCi95 } = judge.finish();
    expect(words).toBe("F1, 1 of 20 boxes lost, 0 new");
    expect(value).toBeCloseTo((100 * 38) / 39, 9); // 2 * 19 / (2 * 19 + 1)
    expect(flips).toBeCloseTo(5, 9);
    expect(ci95![0]).toBeLessThan(value!);
    expect(dropCi95![0]).toBeCloseTo(100 - ci95![1], 9);
  });

  test("nothing found by either is told; all lost is one answer", () => {
    const judge = judgeOf("detection", outputs);
    judge.add(record(0) as never, null, record(0) as never);
    expect(judge.finish()).toMatchObject({
      value: 100,
      warnings: [expect.stringMatching(/^the original finds no box on 1 record:/)],
    });
    judge.add(record(0) as never, null, record(4) as never);
    expect(judge.finish()).toMatchObject({ value: 0, only: "no box", flips: 100 });
  });

  test("boxes that are not numbers are lost, and the record is broken", () => {
    const judge = judgeOf("detection", outputs);
    const broken = { boxes: record(4).boxes, scores: plain([[Number.NaN], [0.9], [0.1], [0.1]]) };
    expect(judge.add(broken as never, null, record(2) as never)).toBe(true);
    expect(judge.finish()).toMatchObject({ words: "F1, 1 of 2 boxes lost, 0 new", broken: 1 });
  });
});

test("what has no boxes is refused with the reason", () => {
  expect(fitOf("detection", { y: floats([2, 10]) })).toBe(
    "there are no boxes and scores among the outputs y [2,10]",
  );
  expect(fitOf("detection", { y: floats([1, 84, 100]) }, ints([1]))).toBe(
    "a label of shape [1] holds no rows of class, x1, y1, x2, y2",
  );
});
