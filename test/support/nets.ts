/** @file Small seeded networks of different kinds, on which the contract tests run every method. */
import { readFileSync } from "node:fs";
import type { DType } from "../../src/ir/dtype.ts";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { createModel, type Model } from "../../src/ir/model.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { createRandom, type Random } from "../../src/numeric/random.ts";
import { readModel } from "../../src/onnx/read.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { rewrite } from "../../src/rewrite/index.ts";
import type { Feeds } from "../../src/runtime/runtime.ts";

/** A network to test methods on. */
export interface Net {
  readonly name: string;
  /** The model after lossless simplification, with inferred shapes, as recipes start from it. */
  readonly model: Model;
  /** Random inputs for `records` records. */
  feeds(records: number, seed?: number): Feeds;
}

interface Ports {
  readonly [name: string]: { readonly dtype?: DType; readonly shape: readonly number[] };
}

/** Makes a random weight, scaled by its fan-in so that activations stay near 1. */
type Weights = (shape: readonly number[], fanIn: number) => Value;

/** A network with the inputs `ports` (shapes without the batch axis) and one output, "scores". */
function net(
  name: string,
  ports: Ports,
  draw: (g: Builder, inputs: readonly Value[], weights: Weights, random: Random) => Value,
): Net {
  const random = createRandom(17).fork(name);
  const graph = new Graph(name);
  const inputs = Object.entries(ports).map(([port, { dtype = "float32", shape }]) =>
    graph.addInput(port, dtype, ["N", ...shape]),
  );
  const g = build(graph);
  const weights: Weights = (shape, fanIn) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const scale = Math.sqrt(2 / fanIn);
    const values = Float32Array.from({ length: size }, () => random.normal() * scale);
    return g.constant(values, { shape, name: "weight" });
  };
  const output = draw(g, inputs, weights, random);
  output.name = "scores";
  output.dtype = "float32";
  graph.setOutputs([output]);
  nameNodes(graph);
  const model = createModel(graph, 21);
  inferModel(model);
  rewrite(model);
  inferModel(model);
  return { name, model, feeds: feedsOf(ports) };
}

/** Names nodes by operator and number (conv1, conv2, gemm1 ...), so that globs can match them. */
function nameNodes(graph: Graph): void {
  const counts = new Map<string, number>();
  for (const node of graph.sorted()) {
    const n = (counts.get(node.op) ?? 0) + 1;
    counts.set(node.op, n);
    node.name = `${node.op.toLowerCase()}${n}`;
  }
}

function feedsOf(ports: Ports): Net["feeds"] {
  return (records, seed = 1) => {
    const random = createRandom(seed);
    const feeds: Record<string, Tensor> = {};
    for (const [name, { dtype = "float32", shape }] of Object.entries(ports)) {
      const size = shape.reduce((a, b) => a * b, records);
      const value = (): number => (dtype === "int64" ? random.int(50) : random.normal());
      feeds[name] = tensor(dtype, [records, ...shape], Array.from({ length: size }, value));
    }
    return feeds;
  };
}

function lenet(): Net {
  const bytes = readFileSync(new URL("../../examples/lenet5.onnx", import.meta.url));
  const model = readModel(bytes, { name: "lenet5.onnx" });
  inferModel(model);
  rewrite(model);
  inferModel(model);
  const [{ name, shape }] = model.graph.inputs;
  return {
    name: "lenet5",
    model,
    feeds: feedsOf({ [name]: { shape: (shape as number[]).slice(1) } }),
  };
}

/**
 * A CNN: depthwise, pointwise, strided, dilated convolutions, BatchNormalization, ReLU6, a
 * residual. Its first layers have `width` channels, the last ones twice as many.
 */
const convolutional = (name: string, width: number): Net =>
  net(name, { image: { shape: [3, 8, 8] } }, (g, [image], weights, random) => {
    const norm = (x: Value): Value => {
      const vector = (low: number, high: number): Value =>
        g.constant(Array.from({ length: width }, () => low + (high - low) * random.float()));
      return g.BatchNormalization(
        x,
        vector(0.5, 1.5),
        vector(-0.2, 0.2),
        vector(-0.1, 0.1),
        vector(0.5, 1.5),
      );
    };
    const relu6 = (x: Value): Value => g.Clip(x, g.constant(0), g.constant(6));
    const same = { pads: [1, 1, 1, 1] };
    const wide = 2 * width;
    const filters = (outputs: number, inputs: number, size: number): Value =>
      weights([outputs, inputs, size, size], inputs * size * size);
    const stem = relu6(norm(g.Conv(image, filters(width, 3, 3), null, same)));
    const depthwise = relu6(
      norm(g.Conv(stem, filters(width, 1, 3), null, { ...same, group: width })),
    );
    const pointwise = norm(g.Conv(depthwise, filters(width, width, 1)));
    const joined = g.Relu(g.Add(stem, pointwise));
    const strided = g.Relu(
      g.Conv(joined, filters(wide, width, 3), weights([wide], wide), { ...same, strides: [2, 2] }),
    );
    const dilated = g.Relu(
      g.Conv(strided, filters(wide, wide, 3), null, { pads: [2, 2, 2, 2], dilations: [2, 2] }),
    );
    const flat = g.Flatten(g.MaxPool(dilated, { kernel_shape: [2, 2], strides: [2, 2] }));
    const features = 4 * wide;
    return g.Gemm(flat, weights([10, features], features), weights([10], 10), { transB: 1 });
  });

/** A transformer of one block, whose scores are computed with the transposed embedding table. */
const transformer = (): Net =>
  net("transformer", { tokens: { dtype: "int64", shape: [12] } }, (g, [tokens], weights) => {
    const [width, heads] = [32, 4];
    const ones = (): Value => g.constant(new Float32Array(width).fill(1));
    const table = weights([50, width], width);
    const linear = (x: Value, from: number, to: number): Value =>
      g.Add(g.MatMul(x, weights([from, to], from)), weights([to], to));
    const norm = (x: Value): Value => g.LayerNormalization(x, ones(), weights([width], width));
    const split = (x: Value, perm: readonly number[]): Value =>
      g.Transpose(g.Reshape(x, g.ints([0, 0, heads, width / heads])), { perm });
    let x = g.Gather(table, tokens);
    const q = split(linear(norm(x), width, width), [0, 2, 1, 3]);
    const k = split(linear(norm(x), width, width), [0, 2, 3, 1]);
    const v = split(linear(norm(x), width, width), [0, 2, 1, 3]);
    const scores = g.Softmax(g.Mul(g.MatMul(q, k), g.constant(Math.sqrt(heads / width))));
    const mixed = g.Transpose(g.MatMul(scores, v), { perm: [0, 2, 1, 3] });
    x = g.Add(x, linear(g.Reshape(mixed, g.ints([0, 0, width])), width, width));
    const inner = linear(norm(x), width, 4 * width);
    const gelu = g.Mul(
      g.Mul(inner, g.constant(0.5)),
      g.Add(g.Erf(g.Div(inner, g.constant(Math.SQRT2))), g.constant(1)),
    );
    x = g.Add(x, linear(gelu, 4 * width, width));
    return g.MatMul(norm(x), g.Transpose(table, { perm: [1, 0] }));
  });

/**
 * Linear layers in different forms: MatMul, Gemm transposed or not, alpha, beta, a shared weight.
 */
const gemms = (): Net =>
  net("gemms", { x: { shape: [48] } }, (g, [x], weights) => {
    const shared = weights([48, 48], 48);
    const a = g.Relu(g.Gemm(x, shared, weights([48], 48), { alpha: 0.5, beta: 2 }));
    const b = g.Relu(g.Gemm(a, shared, weights([48], 48), { transB: 1, beta: 0.5 }));
    const c = g.Tanh(g.MatMul(b, weights([48, 64], 48)));
    return g.Gemm(c, weights([8, 64], 64), weights([1, 8], 8), { transB: 1 });
  });

/** An LSTM whose last state a linear layer classifies. */
const recurrent = (): Net =>
  net("lstm", { frames: { shape: [10, 24] } }, (g, [frames], weights) => {
    const hidden = 32;
    const sequence = g.Transpose(frames, { perm: [1, 0, 2] });
    const [, last] = g.many(
      "LSTM",
      [
        sequence,
        weights([1, 4 * hidden, 24], 24),
        weights([1, 4 * hidden, hidden], hidden),
        weights([1, 8 * hidden], 8 * hidden),
      ],
      { outputs: 2, attributes: { hidden_size: hidden } },
    );
    return g.Gemm(g.Squeeze(last, g.ints([0])), weights([hidden, 6], hidden), weights([6], 6));
  });

/** An If whose bodies have weights of their own and read a value of the outer graph. */
const conditional = (): Net =>
  net("if", { x: { shape: [32] } }, (g, [x], weights) => {
    const first = g.Relu(g.Gemm(x, weights([32, 48], 32), weights([48], 48)));
    const isPositive = g.Greater(g.ReduceSum(x, g.ints([0, 1]), { keepdims: 0 }), g.constant(0));
    const body = (name: string, activate: (b: Builder, y: Value) => Value): Graph => {
      const graph = new Graph(name);
      const b = build(graph);
      const size = { shape: [48, 48], name: "weight" };
      const inner = createRandom(name.length).fork(name);
      const W = b.constant(
        Float32Array.from({ length: 48 * 48 }, () => inner.normal() / 7),
        size,
      );
      const y = activate(b, b.MatMul(first, W));
      y.name = `${name}_y`;
      graph.setOutputs([y]);
      nameNodes(graph);
      for (const node of graph.nodes) node.name = `${name}_${node.name}`;
      return graph;
    };
    const [joined] = g.many("If", [isPositive], {
      outputs: 1,
      attributes: {
        then_branch: body("then", (b, y) => b.Relu(y)),
        else_branch: body("else", (b, y) => b.Tanh(y)),
      },
    });
    return g.MatMul(joined, weights([48, 8], 48));
  });

/** All networks: a trained LeNet-5 and five random ones. */
export const nets: readonly Net[] = [
  lenet(),
  convolutional("conv", 16),
  transformer(),
  gemms(),
  recurrent(),
  conditional(),
];

/** The networks without the trained LeNet-5, with which tests take much longer. */
export const smallNets = nets.filter(({ name }) => name !== "lenet5");

/** The CNN with half the channels, for tests that run a hundred methods and look at no numbers. */
export const narrow = convolutional("narrow", 8);

/** A small CNN for the images of LeNet-5: a fortieth of its parameters to train. */
export const digits = net(
  "digits",
  { [nets[0].model.graph.inputs[0].name]: { shape: [1, 28, 28] } },
  (g, [image], weights) => {
    const filtered = g.Relu(
      g.Conv(image, weights([8, 1, 5, 5], 25), weights([8], 8), { strides: [2, 2] }),
    );
    const pooled = g.MaxPool(filtered, { kernel_shape: [2, 2], strides: [2, 2] });
    const hidden = g.Relu(g.Gemm(g.Flatten(pooled), weights([288, 32], 288), weights([32], 32)));
    return g.Gemm(hidden, weights([32, 10], 32), weights([10], 10));
  },
);
