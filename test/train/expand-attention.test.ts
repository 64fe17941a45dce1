import { describe, expect, test } from "vitest";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { cloneModel, createModel, type Model } from "../../src/ir/model.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { expandNodes as expandAttention } from "../../src/ops/grad/expansions.ts";
import { inferModel, inferNode } from "../../src/ops/infer.ts";
import { backward } from "../../src/train/backward.ts";
import { differences, expectClose, runOrt } from "./gradients.ts";

interface Form {
  readonly shapes: readonly (readonly number[])[];
  readonly attributes?: Readonly<Record<string, unknown>>;
  readonly mask?: (g: Builder) => Value;
}

const bools = (g: Builder): Value =>
  g.constant([1, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1, 1], { dtype: "bool", shape: [3, 4] });

const forms: Readonly<Record<string, Form>> = {
  "four axes": {
    shapes: [
      [2, 2, 3, 4],
      [2, 2, 5, 4],
      [2, 2, 5, 3],
    ],
  },
  "heads side by side": {
    shapes: [
      [2, 3, 8],
      [2, 4, 8],
      [2, 4, 6],
    ],
    attributes: { q_num_heads: 2, kv_num_heads: 2, scale: 0.3 },
  },
  "keys shared by groups of heads": {
    shapes: [
      [2, 3, 16],
      [2, 5, 8],
      [2, 5, 8],
    ],
    attributes: { q_num_heads: 4, kv_num_heads: 2 },
  },
  causal: {
    shapes: [
      [1, 2, 4, 3],
      [1, 2, 4, 3],
      [1, 2, 4, 3],
    ],
    attributes: { is_causal: 1 },
  },
  "a mask of bools": {
    shapes: [
      [2, 2, 3, 4],
      [2, 2, 4, 4],
      [2, 2, 4, 4],
    ],
    mask: bools,
  },
  "a mask that is added": {
    shapes: [
      [2, 2, 3, 4],
      [2, 2, 4, 4],
      [2, 2, 4, 4],
    ],
    mask: (g) => g.Mul(g.Cast(bools(g), { to: 1 }), g.constant(-2)),
  },
};

function modelOf({ shapes, attributes, mask }: Form): Model {
  const graph = new Graph("attention");
  const xs = shapes.map((shape, i) => graph.addInput(`x${i}`, "float32", shape));
  const g = build(graph, "", inferNode);
  const y = g.Attention(...xs, mask?.(g), attributes ?? {});
  graph.setOutputs([g.Mul(y, g.Cos(y))]);
  graph.outputs[0].name = "y";
  return createModel(graph, 23);
}

function feedsOf({ shapes }: Form, dtype: "float32" | "float64"): Record<string, Tensor> {
  const random = createRandom(6);
  const entries = shapes.map((shape, i) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const values = Array.from({ length: size }, () => Math.fround(3 * random.float() - 1.5));
    return [`x${i}`, tensor(dtype, shape, values)] as const;
  });
  return Object.fromEntries(entries);
}

describe("Attention", () => {
  test.each(Object.entries(forms))("%s: gives what the operator gives", async (_, form) => {
    const model = modelOf(form);
    const expanded = cloneModel(model);
    inferModel(expanded);
    expect(expandAttention(expanded.graph, expanded.graph.nodes)).toBe(true);
    const feeds = feedsOf(form, "float32");
    const [result, expected] = [await runOrt(expanded, feeds), await runOrt(model, feeds)];
    expectClose(result.y, expected.y, 2e-6, "y");
  });

  test.each(Object.entries(forms))("%s: has the slope of the reference", async (_, form) => {
    const model = modelOf(form);
    const g = build(model.graph, "", inferNode);
    const loss = g.ReduceSum(model.graph.outputs[0], { keepdims: 0 });
    model.graph.setOutputs([loss]);
    inferModel(model);
    const exact = cloneModel(model);
    expandAttention(exact.graph, exact.graph.nodes);
    const gradients = [...backward(model, loss, model.graph.inputs).values()];
    model.graph.setOutputs(gradients);
    for (const [i, output] of gradients.entries()) output.name = `d${i}`;
    const results = await runOrt(model, feedsOf(form, "float32"));
    const feeds = feedsOf(form, "float64");
    expect(Object.values(evaluateGraph(exact.graph, feeds))[0].dtype).toBe("float64");
    for (const [name, x] of Object.entries(feeds)) {
      const at = Array.from({ length: 12 }, (_, i) => Math.floor((i * x.size) / 12));
      const slopes = differences(exact.graph, feeds, name, at);
      const found = results[`d${name.slice(1)}`];
      expectClose(
        at.map((i) => found[i]),
        slopes,
        1e-5,
        `d${name}`,
      );
    }
  });

  test("a form without a rule is refused", () => {
    const model = modelOf({ ...forms["four axes"], attributes: { softcap: 2 } });
    expect(() => backward(model, model.graph.outputs[0], model.graph.inputs)).toThrow(
      "no-gradient: Attention: Attention has no gradient rule for softcap.",
    );
  });
});
