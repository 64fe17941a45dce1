/** @file What `rewrite` takes and gives: chosen rules, the report, interruption, bodies. */
import { describe, expect, test } from "vitest";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { createModel } from "../../src/ir/model.ts";
import { parseModel } from "../../src/ir/parse.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { beforeTraining, rewrite, rules } from "../../src/rewrite/index.ts";

const text = `
g (float[N,2,6,6] x) => (float[N,3,6,6] y, float[N,3,6,6] z)
  <float[3,2,1,1] w = random(1), float two = {2}, float[3] s = {1, 2, 3}, float[3] b = {0, 1, 0}, float[3] v = {1, 1, 2}>
{
  [same] i = Identity (x)
  [conv] c = Conv (i, w)
  [twice] t = Mul (c, two)
  [norm] n = BatchNormalization (t, s, b, b, v)
  [left] y = Tanh (n)
  [right] z = Exp (t)
}`;

describe("rewrite", () => {
  test("reports what each rule did, and why one did not", () => {
    const { applied, refused, rounds } = rewrite(parseModel(text));
    expect(applied).toContainEqual({ rule: "drop-identity", node: "same" });
    expect(applied).toContainEqual({ rule: "fold-scale", node: "twice" });
    expect(refused).toEqual([
      { rule: "fold-batchnorm", node: "norm", reason: "c is also read by right" },
    ]);
    expect(rounds).toBe(2);
  });

  test("applies chosen rules only", () => {
    const model = parseModel(text);
    const { applied } = rewrite(model, { rules: ["drop-identity"] });
    expect(applied).toEqual([{ rule: "drop-identity", node: "same" }]);
    expect([...model.graph.nodes].map(({ name }) => name)).not.toContain("same");
    expect([...model.graph.nodes].map(({ name }) => name)).toContain("twice");
  });

  test("leaves normalization to training, and folds it afterwards", () => {
    const trained = parseModel(text.replace("right] z = Exp (t)", "right] z = Exp (n)"));
    const norms = () => [...trained.graph.nodes].filter(({ op }) => op === "BatchNormalization");
    const { applied } = rewrite(trained, { rules: beforeTraining });
    expect(applied).toContainEqual({ rule: "fold-scale", node: "twice" });
    expect(norms().length).toBe(1);
    expect(rewrite(trained).applied).toContainEqual({ rule: "fold-batchnorm", node: "norm" });
    expect(norms().length).toBe(0);
  });

  test("operators of other domains are not taken for their namesakes", () => {
    const graph = new Graph("namesakes");
    const x = graph.addInput("x", "float32", [2]);
    const own = (op: string, inputs: readonly Value[]): Value =>
      graph.add(op, inputs, { domain: "my", name: `my/${op}`, outputs: [`my/${op}`] }).output;
    const one = graph.addConstant("one", tensor("float32", [], 1));
    const y = own("Mul", [own("Sum", [x]), one]);
    const z = graph.add("Relu", [own("Relu", [y])], { name: "relu", outputs: ["z"] }).output;
    graph.setOutputs([z]);
    const model = createModel(graph, 21);
    model.domains.set("my", 1);
    rewrite(model);
    expect(graph.sorted().map(({ op }) => op)).toEqual(["Sum", "Mul", "Relu", "Relu"]);
  });

  test("nodes that differ in a list of tensors stay two", () => {
    const graph = new Graph("lists");
    const x = graph.addInput("x", "float32", [2]);
    const add = (value: number): Value =>
      graph.add("Table", [x], {
        domain: "my",
        name: `table${value}`,
        attributes: { values: { type: "tensors", value: [tensor("float32", [1], [value])] } },
        outputs: [`y${value}`],
      }).output;
    graph.setOutputs([add(1), add(2)]);
    const model = createModel(graph, 21);
    rewrite(model);
    expect(graph.nodes.size).toBe(2);
  });

  test("stops when told to", () => {
    const signal = AbortSignal.abort();
    expect(() => rewrite(parseModel(text), { signal })).toThrow("aborted: rewrite");
  });

  test("works inside bodies and keeps what they capture", () => {
    const model = parseModel(`
g (float[N,4] x, bool c) => (float[N,4] y) {
  [outer] e = Tanh (x)
  [choice] y = If (c) <
    then_branch = yes () => (float[N,4] a) <float one = {1}> { [same] m = Mul (e, one) [exp] a = Exp (m) },
    else_branch = no () => (float[N,4] d) { [relu] d = Relu (e) }
  >
}`);
    const { applied } = rewrite(model);
    expect(applied).toEqual([{ rule: "drop-identity", node: "same" }]);
    const names = [...model.graph.walk()].flatMap(({ nodes }) => [...nodes].map((n) => n.name));
    expect(names.sort()).toEqual(["choice", "exp", "outer", "relu"]);
  });

  test("rules have unique ids and one-line docs", () => {
    expect(new Set(rules.map(({ id }) => id)).size).toBe(rules.length);
    for (const { doc } of rules) expect(doc).toMatch(/^[^\n]{10,160}$/);
  });
});
