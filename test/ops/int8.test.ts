/** @file What is said to move elements moves them; which layers get integer kernels: recipe/fusion.test.ts. */
import { expect, test } from "vitest";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { createModel } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { int8KernelOf, isFloatLayer } from "../../src/ops/int8.ts";

const x = tensor(
  "float32",
  [2, 3, 4, 1],
  Array.from({ length: 24 }, (_, i) => ((i * 7) % 24) - 11),
);

const moving: Readonly<Record<string, (g: Builder, x: Value) => Value>> = {
  Flatten: (g, x) => g.Flatten(x),
  MaxPool: (g, x) => g.MaxPool(x, { kernel_shape: [2, 1] }),
  Reshape: (g, x) => g.Reshape(x, g.ints([6, -1])),
  Squeeze: (g, x) => g.Squeeze(x, g.ints([3])),
  Transpose: (g, x) => g.Transpose(x, { perm: [1, 0, 3, 2] }),
  Unsqueeze: (g, x) => g.Unsqueeze(x, g.ints([0])),
};

function run(draw: (g: Builder, x: Value) => Value) {
  const graph = new Graph("moves");
  const y = draw(build(graph), graph.addInput("x", "float32", [2, 3, 4, 1]));
  y.name = "y";
  graph.setOutputs([y]);
  inferModel(createModel(graph, 21));
  return { node: y.producer!, y: evaluateGraph(graph, { x }).y };
}

test.each(Object.keys(moving))("%s gives what it reads, elsewhere", (op) => {
  const { node, y } = run(moving[op]);
  expect(int8KernelOf(node)?.kind).toBe("moves");
  const read = Array.from(x.numbers());
  for (const element of y.numbers()) expect(read).toContain(element);
});

test("what stands instead of a Flatten computes the same", () => {
  const plain = run(moving.Flatten);
  const kernel = int8KernelOf(plain.node);
  const other = run((g, value) => {
    if (kernel?.kind !== "moves") throw new Error("Flatten moves elements");
    return kernel.instead?.(g, value, plain.node) as Value;
  });
  expect(other.node.op).toBe("Reshape");
  expect(other.y).toEqual(plain.y);
});

test("an engine's profile names fused layers after the layer", () => {
  const ops = ["Conv", "FusedConv", "FusedMatMul", "QLinearConv", "Relu", "FusedRelu"];
  expect(ops.filter(isFloatLayer)).toEqual(["Conv", "FusedConv", "FusedMatMul"]);
});
