/** @file The copy of a network's rest without its residual blocks, beside plain arithmetic. */
import { expect, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { copyShortcut } from "../../src/layers/rest.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { outputsOf } from "../support/apply.ts";
import { layerModel } from "../support/layer.ts";

const random = createRandom(3);
const matrix = (rows: number, columns: number): number[][] =>
  Array.from({ length: rows }, () => Array.from({ length: columns }, () => random.normal()));
const weights = {
  ...{ stem: matrix(5, 4), first: matrix(4, 4), second: matrix(4, 4), third: matrix(4, 4) },
  ...{ wide: matrix(4, 6), beside: matrix(4, 6), last: matrix(6, 3) },
};
type Name = keyof typeof weights;
const dense = (g: Builder, x: Value, name: Name): Value => {
  const rows = weights[name];
  return g.MatMul(x, g.constant(rows.flat(), { shape: [rows.length, rows[0].length], name }));
};

/** A stem and three blocks that keep their width; one that widens, with a layer beside it; scores. */
function net() {
  let from: Value | undefined;
  const model = layerModel(["N", 5], (g, x) => {
    let y = g.Relu(dense(g, x, "stem"));
    for (const name of ["first", "second", "third"] as const) {
      y = g.Relu(g.Add(y, dense(g, y, name)));
      from ??= y;
    }
    y = g.Relu(g.Add(dense(g, y, "beside"), dense(g, y, "wide")));
    return dense(g, y, "last");
  });
  return { model, from: from as Value, to: model.graph.outputs[0] };
}

const times = (x: readonly number[], name: Name): number[] =>
  weights[name][0].map((_, c) => x.reduce((sum, v, r) => sum + v * weights[name][r][c], 0));
const relu = (x: readonly number[]): number[] => x.map((v) => Math.max(0, v));
const plus = (x: readonly number[], y: readonly number[]): number[] => x.map((v, i) => v + y[i]);

test("leaves out the blocks behind the place that keep their shape, and nothing else", async () => {
  const { model, from, to } = net();
  const wide = to.producer!.inputs[0]!.producer!.inputs[0]!.producer!.inputs[1]!.producer!;
  const { output, nodes, hints } = copyShortcut(model, from, to)!;
  // What stands where the third block ended is to resemble what the third block gives.
  expect(hints.map(({ own, other }) => [own.name, other])).toEqual([
    [`${wide.inputs[0]!.producer!.name}/exit`, wide.inputs[0]!.producer],
  ]);
  model.graph.setOutputs([to, output]);
  const x = Array.from({ length: 5 }, () => random.normal());
  const found = await outputsOf(concat(writeModel(model)), { x: tensor("float32", [1, 5], x) });
  const h = relu(times(x, "stem"));
  const first = relu(plus(h, times(h, "first")));
  const short = times(relu(plus(times(first, "beside"), times(first, "wide"))), "last");
  const full = ["second", "third"].reduce(
    (y, name) => relu(plus(y, times(y, name as Name))),
    first,
  );
  const long = times(relu(plus(times(full, "beside"), times(full, "wide"))), "last");
  const [late, early] = Object.values(found).map((value) => [...value.floats()]);
  for (const [i, value] of short.entries()) expect(early[i]).toBeCloseTo(value, 4);
  for (const [i, value] of long.entries()) expect(late[i]).toBeCloseTo(value, 4);
  const own = nodes.flatMap(({ inputs }) => inputs.filter((input) => input?.tensor));
  expect(own.map((value) => value!.name).sort()).toEqual(["beside", "last", "wide"]);
  const others = [...model.graph.nodes].filter((node) => !nodes.includes(node));
  expect(others.some(({ inputs }) => inputs.some((input) => own.includes(input)))).toBe(false);
});

test("says where there is no block to leave out", () => {
  const { model, to } = net();
  const wide = [...model.graph.nodes].find(({ inputs: [, w] }) => w?.name === "wide");
  expect(copyShortcut(model, wide!.inputs[0] as Value, to)).toBeNull();
});
