import { expect, test } from "vitest";
import { Graph } from "../../src/ir/graph.ts";
import { createModel } from "../../src/ir/model.ts";
import { build } from "../../src/ops/builder.ts";
import { backward } from "../../src/train/backward.ts";
import { type Case, checkCase } from "./gradients.ts";

const cut =
  (starts: number[], ends: number[], axes: number[], steps: number[]): Case["make"] =>
  (g, [x]) =>
    g.Slice(x, g.ints(starts), g.ints(ends), g.ints(axes), g.ints(steps));

/** Every second position as a residual net's shortcut has it, others that start late and end early. */
const cases: Record<string, Case> = {
  "every second": { shapes: [[2, 3, 4, 6]], make: cut([0, 0], [4, 6], [2, 3], [2, 2]) },
  "odd sizes": { shapes: [[2, 3, 5, 7]], make: cut([0, 0], [5, 7], [2, 3], [2, 3]) },
  "from the middle to the middle": {
    shapes: [[2, 3, 7, 9]],
    make: cut([1, 2], [5, 8], [2, 3], [2, 4]),
  },
  "one axis with gaps, channels cut": {
    shapes: [[2, 4, 6]],
    make: cut([1, 1], [3, 6], [1, 2], [1, 2]),
  },
  "backwards with gaps": { shapes: [[2, 3, 6]], make: cut([-1], [-100], [2], [-2]) },
  "gaps between channels": { shapes: [[2, 5, 3]], make: cut([0], [5], [1], [2]) },
};

test.each(Object.entries(cases))("the gradient of a slice with gaps, %s", async (_, case_) => {
  await checkCase(case_);
  await checkCase({ ...case_, isOpen: true });
});

test("positions are spread, not scattered", () => {
  const graph = new Graph("shortcut");
  const x = graph.addInput("x", "float32", [2, 3, 4, 6]);
  const y = build(graph).ReduceSum(cases["every second"].make(build(graph), [x]), { keepdims: 0 });
  graph.setOutputs([y]);
  backward(createModel(graph, 21), y, [x]);
  const ops = [...graph.nodes].map(({ op }) => op);
  expect(ops).toContain("ConvTranspose");
  expect(ops.filter((op) => /Scatter|Pad/.test(op))).toEqual([]);
});
