/** @file int8 in front of an If whose bodies read what a pool moves. */
import { expect, test } from "vitest";
import { Graph } from "../../src/ir/graph.ts";
import { createModel } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { build } from "../../src/ops/builder.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { relativeError } from "../support/error.ts";

const random = createRandom(3);
const normal = (...shape: number[]) =>
  tensor(
    "float32",
    shape,
    Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => random.normal()),
  );

/** x -> Conv -> Relu -> MaxPool -> an If that gives its Abs or its Neg. */
function branching() {
  const graph = new Graph("branching");
  const x = graph.addInput("x", "float32", ["N", 3, 8, 8]);
  const g = build(graph, "layer");
  const map = g.Relu(g.Conv(x, g.constant(normal(16, 3, 3, 3)), null));
  const pooled = g.MaxPool(map, { kernel_shape: [2, 2], strides: [2, 2] });
  const most = g.ReduceMax(x, null, { keepdims: 0 });
  const body = (op: "Abs" | "Neg"): Graph => {
    const inner = new Graph(op);
    inner.setOutputs([build(inner, op)[op](pooled)]);
    return inner;
  };
  const node = graph.add("If", [g.Greater(most, g.constant(1))], {
    name: "branch",
    attributes: {
      then_branch: { type: "graph", value: body("Abs") },
      else_branch: { type: "graph", value: body("Neg") },
    },
  });
  graph.setOutputs([node.output]);
  node.output.name = "y";
  for (const each of graph.nodes) each.name ||= each.output.name;
  const model = createModel(graph, 21);
  inferModel(model);
  return model;
}

test("bodies read rounded values, not a pool of them, which the engine does not open", async () => {
  const model = branching();
  const feeds = (count: number) => ({ x: normal(count, 3, 8, 8) });
  const env = environmentOf({ name: "branching", model, feeds } as never);
  const { model: made, bytes } = await apply(model, "quantize-int8", {}, env);
  const branch = [...made.graph.nodes].find(({ op }) => op === "If");
  const read = branch?.subgraphs.flatMap((inner) => [...inner.nodes].map((n) => n.inputs[0]));
  expect(read?.map((value) => value?.producer?.op)).toEqual([
    "DequantizeLinear",
    "DequantizeLinear",
  ]);
  const given = feeds(2);
  const whole = await outputsOf(concat(writeModel(model)), given);
  const own = await outputsOf(bytes, given);
  expect(relativeError(whole, own)).toBeLessThan(0.02);
});
