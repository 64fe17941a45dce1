/** @file Distillation losses: values against plain loops, gradients three ways. */
import { describe, expect, test } from "vitest";
import { Graph } from "../../src/ir/graph.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { build } from "../../src/ops/builder.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { inferNode } from "../../src/ops/infer.ts";
import { type HintLossId, hintLosses } from "../../src/train/hint-losses.ts";
import { decoupled, distillation } from "../../src/train/losses.ts";
import { checkCase } from "./gradients.ts";

const [records, own, guide, height, width] = [3, 2, 4, 2, 3];
const positions = height * width;
const random = createRandom(4);
const some = (size: number) => Array.from({ length: size }, () => random.normal());
const s = some(records * own * positions);
const t = some(records * guide * positions);

/** [record][channel][position]. */
const maps = (flat: readonly number[], channels: number): number[][][] =>
  Array.from({ length: records }, (_, n) =>
    Array.from({ length: channels }, (_, c) =>
      flat.slice((n * channels + c) * positions, (n * channels + c + 1) * positions),
    ),
  );
const [student, teacher] = [maps(s, own), maps(t, guide)];
const sum = (xs: readonly number[]) => xs.reduce((a, b) => a + b, 0);
const mean = (xs: readonly number[]) => sum(xs) / xs.length;
const dot = (a: readonly number[], b: readonly number[]) => sum(a.map((x, i) => x * b[i]));
const unit = (a: readonly number[]) => a.map((x) => x / Math.sqrt(dot(a, a)));
const huber = (x: number) => (Math.abs(x) <= 1 ? (x * x) / 2 : Math.abs(x) - 0.5);

function lossOf(id: HintLossId, shapes: [number[], number[]], axis = 1): number {
  const graph = new Graph("loss");
  const g = build(graph, "", inferNode);
  const [a, b] = [s, t].map((flat, i) =>
    g.constant(
      tensor(
        "float64",
        shapes[i],
        flat.slice(
          0,
          shapes[i].reduce((x, y) => x * y),
        ),
      ),
    ),
  );
  graph.setOutputs([hintLosses[id].pair(g, a, b, axis)]);
  return Object.values(evaluateGraph(graph, {}))[0].numbers()[0];
}

const shapes: [number[], number[]] = [
  [records, own, height, width],
  [records, guide, height, width],
];

describe("values", () => {
  test("attention: maps of length 1, widths may differ", () => {
    const map = (record: number[][]) =>
      unit(Array.from({ length: positions }, (_, p) => mean(record.map((c) => c[p] ** 2))));
    const rows = student.map((record, n) => {
      const difference = map(record).map((x, p) => x - map(teacher[n])[p]);
      return dot(difference, difference);
    });
    expect(lossOf("attention", shapes)).toBeCloseTo(mean(rows), 9);
  });

  test("selectivity: squared discrepancy of the channels' maps", () => {
    const kernel = (a: number[][], b: number[][]) =>
      mean(a.flatMap((x) => b.map((y) => dot(unit(x), unit(y)) ** 2)));
    const rows = student.map(
      (a, n) => kernel(a, a) + kernel(teacher[n], teacher[n]) - 2 * kernel(a, teacher[n]),
    );
    expect(lossOf("selectivity", shapes)).toBeCloseTo(mean(rows), 9);
  });

  test("relations: distances over the mean of different records, and angles", () => {
    const parts = (all: number[][][]) => {
      const x = all.map((record) => record.flat());
      const apart = (i: number, j: number) => x[i].map((v, k) => v - x[j][k]);
      const length = (v: number[]) => Math.sqrt(Math.max(dot(v, v), 1e-12));
      const each = [0, 1, 2];
      const d = each.flatMap((i) => each.map((j) => length(apart(i, j))));
      const angles = each.flatMap((i) =>
        each.flatMap((j) =>
          each.map(
            (k) => dot(apart(i, j), apart(k, j)) / (length(apart(i, j)) * length(apart(k, j))),
          ),
        ),
      );
      const others = d.filter((_, i) => i % (records + 1) !== 0);
      return { d: d.map((v) => v / mean(others)), angles };
    };
    const [a, b] = [parts(student), parts(teacher)];
    const expected =
      mean(a.d.map((v, i) => huber(v - b.d[i]))) +
      2 * mean(a.angles.map((v, i) => huber(v - b.angles[i])));
    expect(lossOf("relations", shapes)).toBeCloseTo(expected, 6);
  });

  test("relations: a single record has none", () => {
    const [one, other] = [shapes[0], shapes[1]].map(([, ...rest]) => [1, ...rest]);
    expect(lossOf("relations", [one, other])).toBe(0);
  });

  test("contrast: the own record among those of the batch", () => {
    const same: [number[], number[]] = [shapes[1], shapes[1]];
    const graph = new Graph("loss");
    const g = build(graph, "", inferNode);
    const flipped = t.map((v, i) => v * (i % 5 === 0 ? -1 : 1));
    const [a, b] = [flipped, t].map((flat, i) => g.constant(tensor("float64", same[i], flat)));
    graph.setOutputs([hintLosses.contrast.pair(g, a, b, 1)]);
    const found = Object.values(evaluateGraph(graph, {}))[0].numbers()[0];
    const pooled = (all: number[][][]) => all.map((record) => unit(record.map(mean)));
    const [x, y] = [pooled(maps(flipped, guide)), pooled(teacher)];
    const rows = x.map((row, i) => {
      const scores = y.map((other) => dot(row, other) / 0.1);
      return Math.log(sum(scores.map(Math.exp))) - scores[i];
    });
    expect(found).toBeCloseTo(mean(rows), 9);
  });

  test("squared error is a share of the teacher's squares, channels last as well", () => {
    const last: [number[], number[]] = [
      [records, own * positions],
      [records, own * positions],
    ];
    const size = records * own * positions;
    const [a, b] = [s, t.slice(0, size)];
    const expected = sum(a.map((x, i) => (x - b[i]) ** 2)) / dot(b, b);
    for (const id of ["mse", "fitnet"] as const) {
      expect(lossOf(id, last)).toBeCloseTo(expected, 9);
    }
  });
});

describe("decoupled distillation", () => {
  const z = [0.5, -1, 2, 0.1, 3, 0.25, -0.5, 1];
  const guides = [1, 0.5, -2, 0.3, 0, 0.75, 1.5, -1];
  const labels = [2, 1];
  const evaluated = (
    make: (g: ReturnType<typeof build>, a: never, b: never) => unknown,
  ): number => {
    const graph = new Graph("loss");
    const g = build(graph, "", inferNode);
    const [a, b] = [z, guides].map((rows) => g.constant(tensor("float64", [2, 4], rows)));
    graph.setOutputs([make(g, a as never, b as never) as never]);
    return Object.values(evaluateGraph(graph, {}))[0].numbers()[0];
  };
  const softmax = (row: number[]) => {
    const powers = row.map((x) => Math.exp(x / 4));
    return powers.map((x) => x / sum(powers));
  };
  const rows = (flat: number[]) => [flat.slice(0, 4), flat.slice(4)];
  /** KL of label against the rest, and among the rest; and the teacher's probability of the rest. */
  const parts = rows(z).map((row, i) => {
    const [q, p] = [softmax(row), softmax(rows(guides)[i])];
    const k = labels[i];
    const binary = p[k] * Math.log(p[k] / q[k]) + (1 - p[k]) * Math.log((1 - p[k]) / (1 - q[k]));
    const others = p.map((v, c) =>
      c === k ? 0 : (v / (1 - p[k])) * Math.log((v * (1 - q[k])) / ((1 - p[k]) * q[c])),
    );
    return { binary, others: sum(others), rest: 1 - p[k] };
  });

  test("as in the paper, and plain distillation is its sum with the weight 1 - p", () => {
    const found = evaluated((g, a, b) =>
      decoupled(g, a, b, g.constant(labels, { dtype: "int64" }), { temperature: 4, nontarget: 3 }),
    );
    expect(found).toBeCloseTo(16 * mean(parts.map(({ binary, others }) => binary + 3 * others)), 9);
    const plain = evaluated((g, a, b) => distillation(g, a, b, 4));
    expect(plain).toBeCloseTo(
      16 * mean(parts.map(({ binary, others, rest }) => binary + rest * others)),
      9,
    );
  });

  test("gradients", () =>
    checkCase({
      shapes: [
        [2, 4],
        [2, 4],
      ],
      make: (g, [a, b]) =>
        decoupled(g, a, b, g.constant(labels, { dtype: "int64" }), {
          temperature: 4,
          nontarget: 2,
        }),
    }));
});

describe("gradients", () => {
  test.each(Object.keys(hintLosses) as HintLossId[])("%s", (id) => {
    const wide = hintLosses[id].fits === "same" || "adapts" in hintLosses[id] ? guide : own;
    return checkCase({
      shapes: [
        [records, wide, height, width],
        [records, guide, height, width],
      ],
      make: (g, [a, b]) => hintLosses[id].pair(g, a, b, 1),
    });
  });
});
