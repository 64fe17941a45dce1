/** @file LSQ: what its learned steps may become. */
import { expect, test } from "vitest";
import { Graph } from "../../src/ir/graph.ts";
import { createModel, type Model } from "../../src/ir/model.ts";
import { parseModel } from "../../src/ir/parse.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { build } from "../../src/ops/builder.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { uniformStep } from "../../src/weights/forms/grid.ts";
import { readWeight } from "../../src/weights/read.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";

const [inputs, hidden, classes, records] = [12, 32, 3, 96];
const random = createRandom(7);
const normal = (size: number): Float32Array =>
  Float32Array.from({ length: size }, () => random.normal());

/** x -> Gemm -> Relu -> Gemm. */
function draw(): Model {
  const graph = new Graph("steps");
  const g = build(graph);
  const x = graph.addInput("x", "float32", ["N", inputs]);
  const weight = (rows: number, columns: number) =>
    g.constant(normal(rows * columns), { shape: [rows, columns] });
  const y = g.Gemm(g.Relu(g.Gemm(x, weight(inputs, hidden))), weight(hidden, classes));
  y.name = "y";
  graph.setOutputs([y]);
  for (const [i, node] of graph.sorted().entries()) node.name = `${node.op}${i}`;
  const model = createModel(graph, 21);
  inferModel(model);
  return model;
}

const feeds = (size: number) => ({ x: tensor("float32", [size, inputs], normal(size * inputs)) });
const labels = Int32Array.from({ length: records }, (_, i) => i % classes);
const env = environmentOf(
  { name: "steps", model: draw(), feeds },
  {
    training: tensorDataset(feeds(records), tensor("int32", [records], labels), "steps"),
    calibration: tensorDataset(feeds(32)),
    feeds: feeds(4),
  },
);

test("steps stay positive at a rate that throws them about", async () => {
  const options = {
    bits: 3,
    activations: 3,
    ends: 3,
    epochs: 4,
    batch: 8,
    rate: 1,
    loss: "cross-entropy",
  };
  const { model } = await apply(draw(), "quantize-lsq", options, env);
  inferModel(model);
  const steps = weightsOf(model).map(({ value }) => uniformStep(readWeight(value)!));
  expect(steps).toHaveLength(2);
  const activations = [...model.graph.nodes].filter(({ op }) => op === "QuantizeLinear");
  for (const { inputs: all } of activations) steps.push(all[1]?.tensor?.floats()[0] as number);
  expect(steps).toHaveLength(4);
  for (const step of steps) expect(step).toBeGreaterThan(0);
});

test.each(["quantize-lsq", "quantize-pact", "quantize-dorefa"] as const)(
  "%s: what a layer in a branch reads there stays float",
  async (id) => {
    const model = parseModel(
      `<ir_version: 10, opset_import: ["" : 21]>
    g (float[N,12] x) => (float[N,8] y)
    <float[12,16] w = random(1), float[16,16] v = random(2), float[16,8] u = random(3), float zero = {0.0}> {
      h = MatMul (x, w) a = Relu (h) sum = ReduceSum <keepdims = 0> (h) c = Greater (sum, zero)
      y = If (c) <
        then_branch = t () => (float[N,8] p) { p0 = MatMul (a, v) p1 = Tanh (p0) p = MatMul (p1, u) },
        else_branch = e () => (float[N,8] q) { q0 = MatMul (a, v) q1 = Relu (q0) q = MatMul (q1, u) }
      >
    }`,
    );
    inferModel(model);
    const own = {
      ...env,
      training: tensorDataset(feeds(8), tensor("int32", [8], labels.slice(0, 8)), "branch"),
    };
    const options = { steps: 1, batch: 8, loss: "cross-entropy" };
    const { model: product, bytes } = await apply(model, id, options, own);
    const nodes = [...product.graph.walk()].flatMap((graph) => [...graph.nodes]);
    // x, and a, which the branches read.
    expect(nodes.filter(({ op }) => op === "QuantizeLinear")).toHaveLength(2);
    expect((await outputsOf(bytes, feeds(4))).y.shape).toEqual([4, 8]);
  },
);
