import { describe, expect, test } from "vitest";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { createModel } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { verify } from "../../src/ir/verify.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { inferNode } from "../../src/ops/infer.ts";
import { backward } from "../../src/train/backward.ts";
import { hoistConstants } from "../../src/train/branch.ts";
import { type Case, checkCase, num, runOrt } from "./gradients.ts";

type Branch = (g: Builder) => readonly Value[];

function branchOf(make: Branch): Graph {
  const body = new Graph("branch");
  const outputs = make(build(body, "", inferNode));
  body.setOutputs(outputs);
  return body;
}

function choose(g: Builder, condition: Value, yes: Branch, no: Branch): readonly Value[] {
  const attributes = { then_branch: branchOf(yes), else_branch: branchOf(no) };
  const outputs = branchOf(yes).outputs.length;
  return g.many("If", [condition], { outputs, attributes });
}

const isPositive = (g: Builder, x: Value): Value =>
  g.Greater(g.ReduceSum(x, { keepdims: 0 }), num(g, x, 0));
/** Known at run time only; inputs are around 0, so that both come up over the cases. */
const conditions: readonly ((g: Builder, x: Value) => Value)[] = [
  isPositive,
  (g, x) => g.Not(isPositive(g, x)),
];

const cases: Readonly<Record<string, (condition: (g: Builder, x: Value) => Value) => Case>> = {
  "each branch its own": (condition) => ({
    shapes: [[3, 4], [4], [4]],
    make: (g, [x, a, b]) =>
      choose(
        g,
        condition(g, x),
        (t) => [t.Mul(x, t.Exp(a))],
        (t) => [t.Add(t.Mul(x, x), t.Mul(b, a))],
      )[0],
  }),
  "two outputs, one value passed on": (condition) => ({
    shapes: [
      [3, 4],
      [3, 4],
    ],
    make: (g, [x, a]) => {
      const [p, q] = choose(
        g,
        condition(g, x),
        (t) => [t.Identity(x), t.Mul(x, a)],
        (t) => [t.Sin(a), t.Identity(a)],
      );
      return g.Add(p, g.Mul(q, q));
    },
  }),
  "an If within": (condition) => ({
    shapes: [[3, 4], [4]],
    make: (g, [x, a]) => {
      const first = g.Mul(x, a);
      return choose(
        g,
        condition(g, x),
        (t) => {
          const inner = t.Exp(a);
          const twice = t.Add(first, inner);
          return choose(
            t,
            condition(t, first),
            (u) => [u.Mul(twice, a)],
            (u) => [u.Mul(inner, x)],
          );
        },
        (t) => [t.Mul(first, x)],
      )[0];
    },
  }),
  "an open batch": (condition) => ({
    shapes: [[3, 4], [4]],
    isOpen: true,
    make: (g, [x, a]) =>
      choose(
        g,
        condition(g, x),
        (t) => [t.Mul(x, x)],
        (t) => [t.Mul(x, a)],
      )[0],
  }),
};

describe("the gradient of If", () => {
  const all = Object.entries(cases).flatMap(([name, make]) =>
    conditions.map((condition, i) => [name, i, make(condition)] as const),
  );
  test.each(all)("%s, condition %d: the same three ways", (_, __, case_) => checkCase(case_));
});

describe("hoistConstants", () => {
  test("weights of branches become trainable", async () => {
    const graph = new Graph("test");
    const x = graph.addInput("x", "float32", [2]);
    const g = build(graph, "", inferNode);
    const [y] = choose(
      g,
      isPositive(g, x),
      (t) => [t.Mul(x, t.constant([2, 3], { name: "w" }))],
      (t) => [t.Mul(x, t.constant([5, 7], { name: "v" }))],
    );
    graph.setOutputs([y]);
    const model = createModel(graph, 21);
    const moved = [...hoistConstants(model).values()];
    expect(moved.map(({ name }) => name)).toEqual(["w", "v"]);
    const gradients = backward(model, y, moved);
    graph.setOutputs([...gradients.values()]);
    for (const [i, output] of graph.outputs.entries()) output.name = `d${i}`;
    expect(verify(model)).toEqual([]);
    const results = await runOrt(model, { x: tensor("float32", [2], [4, -1]) });
    expect([...results.d0]).toEqual([4, -1]);
    expect([...results.d1]).toEqual([0, 0]);
  });
});
