import { describe, expect, test } from "vitest";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { bce, distillation, kd, mse, softmaxCrossEntropy } from "../../src/train/losses.ts";
import { type Case, checkCase } from "./gradients.ts";

const z = [
  [0.5, -1, 2],
  [3, 0.25, -0.5],
];
const t = [
  [1, 0.5, -2],
  [0, 0.75, 1.5],
];
const labels = [2, 1];

const label = (g: Builder): Value => g.constant(labels, { dtype: "int64" });

function lossOf(make: (g: Builder, a: Value, b: Value) => Value): number {
  const graph = new Graph("loss");
  const g = build(graph);
  const [a, b] = [z, t].map((rows) => g.constant(tensor("float64", [2, 3], rows.flat())));
  graph.setOutputs([make(g, a, b)]);
  const [loss] = Object.values(evaluateGraph(graph, {}));
  expect(loss.shape).toEqual([]);
  return loss.numbers()[0];
}

const mean = (values: number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Written as in a textbook. */
function softmax(row: number[], temperature = 1): number[] {
  const powers = row.map((x) => Math.exp(x / temperature));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((x) => x / sum);
}

const crossEntropy = mean(z.map((row, i) => -Math.log(softmax(row)[labels[i]])));

const divergence = (temperature: number): number =>
  temperature ** 2 *
  mean(
    z.map((row, i) => {
      const [p, q] = [softmax(t[i], temperature), softmax(row, temperature)];
      return p.reduce((sum, x, k) => sum + x * Math.log(x / q[k]), 0);
    }),
  );

describe("values", () => {
  test("cross-entropy", () => {
    expect(lossOf((g, a) => softmaxCrossEntropy(g, a, label(g)))).toBeCloseTo(crossEntropy, 12);
  });

  test("cross-entropy with smoothed labels", () => {
    const smoothed = mean(
      z.map((row, i) => {
        const p = softmax(row);
        return -p.reduce((sum, x, k) => {
          const wanted = (k === labels[i] ? 0.9 : 0) + 0.1 / 3;
          return sum + wanted * Math.log(x);
        }, 0);
      }),
    );
    expect(lossOf((g, a) => softmaxCrossEntropy(g, a, label(g), 0.1))).toBeCloseTo(smoothed, 12);
  });

  test("mean squared error", () => {
    const squares = z.flatMap((row, i) => row.map((x, k) => (x - t[i][k]) ** 2));
    expect(lossOf(mse)).toBeCloseTo(mean(squares), 12);
  });

  test("binary cross-entropy", () => {
    const parts = z.flatMap((row, i) =>
      row.map((x, k) => {
        const [p, target] = [1 / (1 + Math.exp(-x)), Math.abs(t[i][k]) / 2];
        return -(target * Math.log(p) + (1 - target) * Math.log(1 - p));
      }),
    );
    const half = (g: Builder, b: Value): Value =>
      g.Mul(g.Abs(b), g.constant(0.5, { dtype: "float64" }));
    expect(lossOf((g, a, b) => bce(g, a, half(g, b)))).toBeCloseTo(mean(parts), 12);
  });

  test("distillation, alone and mixed with labels", () => {
    expect(lossOf((g, a, b) => distillation(g, a, b, 4))).toBeCloseTo(divergence(4), 12);
    const mixed = lossOf((g, a, b) => kd(g, a, b, label(g), { temperature: 2, alpha: 0.7 }));
    expect(mixed).toBeCloseTo(0.7 * divergence(2) + 0.3 * crossEntropy, 12);
    expect(lossOf((g, a) => distillation(g, a, a, 3))).toBeCloseTo(0, 12);
  });
});

describe("gradients", () => {
  const shapes = [
    [2, 3],
    [2, 3],
  ];
  const cases: Record<string, Case> = {
    "cross-entropy": { shapes: [[2, 3]], make: (g, [a]) => softmaxCrossEntropy(g, a, label(g)) },
    "cross-entropy, smoothed, an open batch": {
      shapes: [[2, 3]],
      make: (g, [a]) => softmaxCrossEntropy(g, a, label(g), 0.1),
      isOpen: true,
    },
    mse: { shapes, make: (g, [a, b]) => mse(g, a, b) },
    bce: { shapes, make: (g, [a, b]) => bce(g, a, b) },
    kd: {
      shapes,
      make: (g, [a, b]) => kd(g, a, b, label(g), { temperature: 4, alpha: 0.9 }),
    },
  };
  test.each(Object.entries(cases))("%s: the same three ways", (_, case_) => checkCase(case_));
});
