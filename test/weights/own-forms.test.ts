/** @file Forms from outside: wrong ones are refused when they are declared, right ones are read back whole. */
import { describe, expect, test } from "vitest";
import { Graph } from "../../src/ir/graph.ts";
import { createModel, type Model } from "../../src/ir/model.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { build } from "../../src/ops/builder.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { expand } from "../../src/weights/expand.ts";
import { type Form, integers, learns } from "../../src/weights/form.ts";
import { inForms } from "../../src/weights/in-forms.ts";
import { addForm } from "../../src/weights/match-form.ts";
import { readWeight } from "../../src/weights/read.ts";
import { type Composed, composed, leaf, type Weight } from "../../src/weights/weight.ts";

/** x [N, 4] -> W^T [4, 6]. */
function modelOf(weight: Weight): Model {
  const graph = new Graph("own");
  const g = build(graph);
  const y = g.Gemm(graph.addInput("x", "float32", ["N", 4]), expand(g, weight), null, {
    transB: 1,
  });
  y.name = "y";
  graph.setOutputs([y]);
  const model = createModel(graph, 21);
  inferModel(model);
  return model;
}

const readBack = (weight: Weight): Composed => {
  const model = readModel(concat(writeModel(modelOf(weight))), { name: "own" });
  inferModel(model);
  return readWeight(weightsOf(model)[0].value) as Composed;
};

const right: Form<"u" | "v"> = {
  kind: "right",
  cite: "",
  doc: "W = u v^T",
  theta: { u: learns(), v: learns() },
  build: (g, { u, v }) => g.Neg(g.MatMul(u, v)),
  examples: [{ shape: [6, 4], theta: { u: [6, 1], v: [1, 4] } }],
};

describe("a wrong form", () => {
  test.each<[string, RegExp, object]>([
    ["kind", /kind/, { kind: "" }],
    ["kind that is taken", /a second form "grid"/, { kind: "grid" }],
    ["examples", /no example/, { examples: [] }],
    [
      "shape of a part",
      /gives no shape of v/,
      { examples: [{ shape: [6, 4], theta: { u: [6, 1] } }] },
    ],
    [
      "shape of W",
      /\[6,4\] instead of \[4,6\]/,
      { examples: [{ shape: [4, 6], theta: right.examples[0].theta }] },
    ],
    ["part that is read", /does not read v/, { build: (g: never, { u }: never) => neg(g, u) }],
    ["nodes", /adds no node/, { build: (_: never, { u }: { u: unknown }) => u }],
    ["result", /adds no node/, { build() {} }],
    ["elements", /no part "w"/, { elements: "w" }],
    [
      "whole numbers",
      /u .* 16 bits/,
      { theta: { u: integers("int32", -40_000, 40_000), v: learns() } },
    ],
    [
      "build that runs",
      /boom/,
      {
        build() {
          throw new Error("boom");
        },
      },
    ],
  ])("without %s is refused, and nothing else suffers", (_, reason, change) => {
    const form = { ...right, kind: `wrong ${reason}`, ...change } as unknown as Form;
    expect(() => addForm(form)).toThrow(
      expect.objectContaining({ code: "bad-usage", message: expect.stringMatching(reason) }),
    );
    const model = modelOf(leaf(new Float32Array(24).fill(1), [6, 4]));
    expect(inForms(model).nodes.size).toBe(0);
  });
});

const neg = (g: { Neg(x: unknown): unknown }, x: unknown): unknown => g.Neg(x);

test("shapes that `build` refuses are no weight of the form", () => {
  addForm({
    ...right,
    kind: "choosy",
    build(g, { u, v }) {
      if (u.shape?.[1] !== 1) throw new Error("one column, please");
      return g.Abs(g.MatMul(u, v));
    },
  });
  const graph = new Graph("wide");
  const g = build(graph);
  const ones = (shape: number[]) =>
    g.constant(new Float32Array(shape[0] * shape[1]).fill(1), { shape });
  const w = g.Abs(g.MatMul(ones([6, 2]), ones([2, 4])));
  const y = g.Gemm(graph.addInput("x", "float32", ["N", 4]), w, null, { transB: 1 });
  graph.setOutputs([y]);
  const model = createModel(graph, 21);
  inferModel(model);
  expect(readWeight(weightsOf(model)[0].value)).toMatchObject({ form: null });
});

test.each([
  ["int32", -1000, 1000],
  ["int32", 0, 65_535],
  ["int64", -5, 2 ** 40],
] as const)(
  "whole numbers of %s from %d to %d are read back as they were stored",
  (dtype, least, greatest) => {
    const form = addForm({
      kind: `whole ${dtype} ${least}`,
      cite: "",
      doc: "W = s t",
      theta: { t: integers(dtype, least, greatest), s: learns() },
      build: (g, { t, s }) => g.Mul(g.Cast(t, { to: 1 }), g.Neg(s)),
      examples: [{ shape: [6, 4], theta: { t: [6, 4], s: [] } }],
      elements: "t",
    });
    const [low, high] = [Math.max(least, -1000), Math.min(greatest, 2 ** 20)];
    const levels = Array.from({ length: 24 }, (_, i) => Math.round(low + ((high - low) * i) / 23));
    const coding = dtype === "int64" ? dtype : { bits: least < 0 ? 11 : 16, signed: least < 0 };
    const t: Weight = { form: null, shape: [6, 4], values: Float64Array.from(levels), coding };
    const back = readBack(composed(form, [6, 4], { t, s: leaf(Float32Array.of(-0.5), []) }));
    expect(back.form?.kind).toBe(form.kind);
    expect(Array.from(back.theta.t.values)).toEqual(levels);
    expect(back.theta.t).toMatchObject({ coding });
    // What was read is written as the same numbers again.
    expect(Array.from(readBack(back).values)).toEqual(levels.map((x) => x / 2));
  },
);
