/** @file Scales and shifts: a scale of zero leaves the shift alone, statistics are what is standardized by. */
import { expect, test } from "vitest";
import { Graph, type Node } from "../../src/ir/graph.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { evaluateNode } from "../../src/ops/evaluate.ts";
import { keepsStatistics, normInputsOf, normOf } from "../../src/ops/norms.ts";

const x = tensor("float64", [1, 2, 2], [1, -2, 3, 5]);
const vector = (...values: number[]) => tensor("float64", [2], values);
const at = (op: string, inputs: number): Node => {
  const graph = new Graph(op);
  const value = graph.addInput("x", "float64", [1, 2, 2]);
  const attributes = { num_groups: { type: "int", value: 1 } } as const;
  return graph.add(
    op,
    new Array(inputs).fill(value),
    op === "GroupNormalization" ? { attributes } : {},
  );
};
const run = (node: Node, ...inputs: ReturnType<typeof vector>[]): number[] =>
  Array.from(evaluateNode(node, [x, ...inputs])![0].numbers());

test.each([
  ["BatchNormalization", 5],
  ["GroupNormalization", 3],
  ["InstanceNormalization", 3],
  ["LayerNormalization", 3],
])("%s: y = 0 x + shift", (op, inputs) => {
  const node = at(op, inputs);
  const { scale, shift } = normOf(node)!;
  expect([scale, shift]).toEqual([1, 2]);
  const rest = inputs === 5 ? [vector(0, 1), vector(1, 4)] : [];
  expect(run(node, vector(0, 0), vector(7, 7), ...rest)).toEqual([7, 7, 7, 7]);
});

test("PRelu and RMSNormalization scale only", () => {
  for (const op of ["PRelu", "RMSNormalization"]) expect(normInputsOf(at(op, 2))).toEqual([1]);
  expect(normInputsOf(at("Add", 2))).toEqual([]);
});

test("batch normalization alone standardizes by what it remembers", () => {
  const node = at("BatchNormalization", 5);
  node.set("epsilon", { type: "float", value: 0 });
  expect(normOf(node)?.statistics).toEqual({ mean: 3, variance: 4 });
  expect(run(node, vector(1, 1), vector(0, 0), vector(1, 3), vector(1, 4))).toEqual([0, -3, 0, 1]);
  expect(keepsStatistics(node)).toBe(true);
  expect(keepsStatistics(at("InstanceNormalization", 3))).toBe(false);
});
