import { describe, expect, test } from "vitest";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { cloneModel, createModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { backward } from "../../src/train/backward.ts";
import { runOrt } from "./gradients.ts";

const noGradient = (make: () => unknown): string => {
  try {
    make();
  } catch (error) {
    return (error as Error).message;
  }
  return "no error";
};

function model(make: (g: Builder, x: Value) => Value): Model {
  const graph = new Graph("test");
  const x = graph.addInput("x", "float32", [2, 3]);
  graph.setOutputs([make(build(graph), x)]);
  return createModel(graph, 21);
}

const gradientsOf = ({ graph, ...rest }: Model, wanted: readonly Value[]) =>
  backward({ graph, ...rest }, graph.outputs[0], wanted);

describe("backward", () => {
  test("names the node without a rule and the remedy", () => {
    const made = model((g, x) => g.Relu(g.Hardmax(g.Exp(x))));
    for (const node of made.graph.nodes) node.name = `layer/${node.op}`;
    expect(noGradient(() => gradientsOf(made, made.graph.inputs))).toBe(
      "no-gradient: layer/Hardmax: Hardmax has no gradient rule. Freeze below it: --freeze <glob>.",
    );
  });

  test("names the output without a rule", () => {
    const made = model((g, x) => {
      const inputs = [x, g.constant([1, 1, 1])];
      const [y, mean] = g.many("LayerNormalization", inputs, { outputs: 2 });
      return g.Add(y, mean);
    });
    expect(noGradient(() => gradientsOf(made, made.graph.inputs))).toMatch(
      /^no-gradient: LayerNormalization: .* no gradient rule for its output "LayerNormalization_1"\./,
    );
  });

  test("says which size is missing", () => {
    const made = model((g, x) => g.MaxPool(g.Unsqueeze(x, g.ints([0])), { kernel_shape: [2] }));
    made.graph.inputs[0].shape = [2, "L"];
    expect(noGradient(() => gradientsOf(made, made.graph.inputs))).toMatch(
      /^no-gradient: MaxPool: .* needs the sizes of ".*"\. Fix the input's sizes first/,
    );
  });

  test("refuses a wanted value that the loss does not depend on", () => {
    const made = model((g, x) => g.Relu(x));
    const idle = made.graph.addConstant("idle", tensor("float32", [], 1));
    expect(noGradient(() => gradientsOf(made, [idle]))).toMatch(
      /^no-gradient: idle: does not lead to the loss "Relu"/,
    );
  });

  test("a Loop is refused with its remedy", () => {
    const made = model((g, x) => {
      const body = new Graph("body");
      body.addInput("i", "int64", []);
      const go = body.addInput("go", "bool", []);
      const state = body.addInput("state", "float32", [2, 3]);
      const inner = build(body);
      body.setOutputs([inner.Identity(go), inner.Exp(state)]);
      return g.Loop(g.constant(3, { dtype: "int64" }), null, x, { body });
    });
    expect(noGradient(() => gradientsOf(made, made.graph.inputs))).toBe(
      "no-gradient: Loop: Loop has no gradient rule. " +
        "Export the model with it unrolled, or freeze below it: --freeze <glob>.",
    );
  });

  test("frozen layers below an operator without a rule do not matter", () => {
    let w: Value | undefined;
    const made = model((g, x) => {
      w = g.constant([1, 2, 3]);
      return g.Mul(g.Hardmax(x), w);
    });
    expect(gradientsOf(made, [w as Value]).size).toBe(1);
  });

  test("leaves no node behind that nobody reads", () => {
    let w: Value | undefined;
    const made = model((g, x) => {
      w = g.constant([1, 2, 3, 4, 5, 6], { shape: [3, 2] });
      return g.Relu(g.MatMul(g.Div(x, g.Exp(x)), w));
    });
    const before = new Set(made.graph.nodes);
    const gradient = gradientsOf(made, [w as Value]).get(w as Value) as Value;
    made.graph.setOutputs([gradient]);
    const added = [...made.graph.nodes].filter((node) => !before.has(node));
    for (const node of added) {
      const used = node.outputs.some((output) => output.uses.size > 0);
      expect(used, node.name).toBe(true);
    }
    // Nothing of Div and Exp, which lie below the only weight.
    expect(added.map(({ name }) => name).filter((name) => /Div|Exp$/.test(name))).toEqual([]);
    for (const value of made.graph.constants) expect(value.uses.size).toBeGreaterThan(0);
  });

  test("a value read twice, and one that is the loss and more", async () => {
    let inner: Value | undefined;
    const made = model((g, x) => {
      inner = g.Mul(x, x);
      return g.ReduceSum(g.Add(g.Mul(inner, x), inner), { keepdims: 0 });
    });
    const [x] = made.graph.inputs;
    const gradients = gradientsOf(made, [x, inner as Value]);
    made.graph.setOutputs([...gradients.values()]);
    const values = [1, -2, 3, 0.5, 0, -1];
    const results = Object.values(
      await runOrt(cloneModel(made), { x: tensor("float32", [2, 3], values) }),
    );
    // L = x^3 + x^2; inner u = x^2: dL/du = x + 1
    expect([...results[0]]).toEqual(values.map((v) => 3 * v * v + 2 * v));
    expect([...results[1]]).toEqual(values.map((v) => v + 1));
  });

  test("the forward pass stays as it was", async () => {
    const made = model((g, x) => g.Softmax(g.Mul(x, g.constant([1, 2, 3]))));
    const feeds = { x: tensor("float32", [2, 3], [1, -2, 3, 0.5, 0, -1]) };
    const before = await runOrt(cloneModel(made), feeds);
    gradientsOf(made, made.graph.inputs);
    expect(await runOrt(made, feeds)).toEqual(before);
  });
});
