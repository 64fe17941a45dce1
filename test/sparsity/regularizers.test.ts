/** @file Slopes of the regularizers at weights worked by hand. */
import { expect, test } from "vitest";
import { Graph } from "../../src/ir/graph.ts";
import { createModel } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { build } from "../../src/ops/builder.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { inferNode } from "../../src/ops/infer.ts";
import { type Regularizer, regularizers } from "../../src/sparsity/regularizers.ts";
import { backward } from "../../src/train/backward.ts";

/** Two rows (axis 0) of four units; their root mean squares are 0.5, 1, 2, 5, the mean is 2.125. */
const w = [0.3, 1.4, -2, 3, -Math.sqrt(0.5 - 0.09), -0.2, 2, -Math.sqrt(41)];
const rms = [0.5, 1, 2, 5];

function slopesOf({ penalty }: Regularizer, axes: readonly number[], size: number): number[] {
  const graph = new Graph("penalty");
  const x = graph.addInput("w", "float32", [2, 4]);
  const g = build(graph, "", inferNode);
  const loss = penalty(g, x, axes, size);
  graph.setOutputs([loss]);
  const slopes = backward(createModel(graph, 21), loss, [x]).get(x)!;
  graph.setOutputs([slopes]);
  return [...evaluateGraph(graph, { w: tensor("float32", [2, 4], w) })[slopes.name].numbers()];
}

test("group lasso presses every unit: d sqrt(2) |w_unit| / dw = w / rms", () => {
  const slopes = slopesOf(regularizers.shapes, [0], 2);
  for (const [i, slope] of slopes.entries()) expect(slope).toBeCloseTo(w[i] / rms[i % 4], 5);
});

test("brain damage presses the units below the mean like group lasso, and no other", () => {
  const slopes = slopesOf(regularizers.damage, [0], 2);
  for (const [i, slope] of slopes.entries()) {
    if (i % 4 < 3) expect(slope).toBeCloseTo(w[i] / rms[i % 4], 5);
    else expect(Math.abs(slope)).toBe(0);
  }
});

test("decay: the slope is 2 w / (1 + w^2)^2", () => {
  const slopes = slopesOf(regularizers.decay, [], 1);
  for (const [i, slope] of slopes.entries()) {
    expect(slope).toBeCloseTo((2 * w[i]) / (1 + w[i] ** 2) ** 2, 5);
  }
});
