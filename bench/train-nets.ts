/** @file The networks of bench/train.ts; bench/train.py defines the same ones for PyTorch. */
import { Graph, type Value } from "../src/ir/graph.ts";
import { createModel, type Model } from "../src/ir/model.ts";
import { type Tensor, tensor } from "../src/ir/tensor.ts";
import { nets } from "../src/nets/index.ts";
import { createLayers, type Layers } from "../src/nets/layers.ts";
import { createRandom } from "../src/numeric/random.ts";
import { OPSET } from "../src/onnx/upgrade.ts";
import { type Builder, build } from "../src/ops/builder.ts";
import type { Forms } from "../src/ops/grad.ts";
import { inferNode } from "../src/ops/infer.ts";
import { mse, softmaxCrossEntropy } from "../src/train/losses.ts";
import { type StepGraph, stepOf } from "../src/train/step.ts";
import { learnableOf } from "../src/weights/learnable.ts";

/** A network with the shapes of a batch. */
export interface Task {
  readonly title: string;
  /** Shape of the input of one batch. */
  readonly input: readonly number[];
  /** "classes" for class indices, else the shape of the target. */
  readonly label: "classes" | readonly number[];
  /** The wanted ratio: a step may take at most so many times PyTorch's time. */
  readonly limit: number;
  readonly model: () => Model;
}

function modelOf(input: readonly number[], draw: (x: Value, graph: Graph) => Value): Model {
  const graph = new Graph("net");
  const x = graph.addInput("x", "float32", ["N", ...input.slice(1)]);
  graph.setOutputs([draw(x, graph)]);
  return createModel(graph, OPSET);
}

const image = [32, 64, 28, 28];

/** A depthwise 3x3 convolution, which src/nets/layers.ts does not offer. */
function depthwise(graph: Graph, x: Value, channels: number, stride: number): Value {
  const g = build(graph, "depthwise", inferNode);
  const random = createRandom(channels + stride);
  const values = Float32Array.from({ length: channels * 9 }, () => (random.float() - 0.5) / 1.5);
  const w = g.constant(values, { shape: [channels, 1, 3, 3], name: "weight" });
  return g.Conv(x, w, { group: channels, pads: [1, 1, 1, 1], strides: [stride, stride] });
}

const pointwise = ({ conv }: Layers, x: Value, channels: number): Value =>
  conv(x, channels, 1, { bias: false });

/** A block of MobileNetV1: two depthwise separable convolutions, the second with stride 2. */
function separable(x: Value, graph: Graph): Value {
  const layers = createLayers(graph, createRandom(1));
  const { norm, relu } = layers;
  let y = relu(norm(depthwise(graph, x, 64, 1)));
  y = relu(norm(pointwise(layers, y, 128)));
  y = relu(norm(depthwise(graph, y, 128, 2)));
  return relu(norm(pointwise(layers, y, 256)));
}

/** A block of MobileNetV2: expansion to six times the channels, depthwise, projection, addition. */
function inverted(x: Value, graph: Graph): Value {
  const layers = createLayers(graph, createRandom(1));
  const g = build(graph, "block", inferNode);
  const clip = (of: Value): Value => g.Clip(of, g.constant(0), g.constant(6));
  let y = clip(layers.norm(pointwise(layers, x, 384)));
  y = clip(layers.norm(depthwise(graph, y, 384, 1)));
  return g.Add(x, layers.norm(pointwise(layers, y, 64)));
}

const [width, heads, inner, tokens, batch] = [384, 6, 1536, 128, 16];

/**
 * An encoder layer of a transformer: self-attention and a feed-forward part, both with pre-norm.
 */
function encoder(x: Value, graph: Graph): Value {
  const g = build(graph, "encoder", inferNode);
  const random = createRandom(2);
  const dense = (of: Value, from: number, to: number): Value => {
    const bound = 1 / Math.sqrt(from);
    const values = Float32Array.from({ length: from * to }, () => bound * (2 * random.float() - 1));
    const w = g.constant(values, { shape: [from, to], name: "weight" });
    return g.Add(g.MatMul(of, w), g.constant(new Float32Array(to), { name: "bias" }));
  };
  const norm = (of: Value): Value =>
    g.LayerNormalization(
      of,
      g.constant(new Float32Array(width).fill(1), { name: "scale" }),
      g.constant(new Float32Array(width), { name: "shift" }),
    );
  const head = (of: Value): Value =>
    g.Transpose(g.Reshape(of, g.ints([0, 0, heads, width / heads])), { perm: [0, 2, 1, 3] });
  const normal = norm(x);
  const [q, k, v] = [0, 1, 2].map(() => head(dense(normal, width, width)));
  const scale = g.constant(1 / Math.sqrt(width / heads));
  const scores = g.Mul(g.MatMul(q, g.Transpose(k, { perm: [0, 1, 3, 2] })), scale);
  const mixed = g.Transpose(g.MatMul(g.Softmax(scores), v), { perm: [0, 2, 1, 3] });
  const attended = g.Add(x, dense(g.Reshape(mixed, g.ints([0, 0, width])), width, width));
  const hidden = g.Gelu(dense(norm(attended), width, inner));
  return g.Add(attended, dense(hidden, inner, width));
}

/** The tasks by name. */
export const tasks: Readonly<Record<string, Task>> = {
  lenet5: {
    title: "LeNet-5 (Caffe, 431,080 parameters), batch 128",
    input: [128, 1, 28, 28],
    label: "classes",
    limit: 1,
    model: () => nets["lenet-5"].make(createRandom(1)),
  },
  resnet20: {
    title: "ResNet-20, batch 128, 3x32x32",
    input: [128, 3, 32, 32],
    label: "classes",
    limit: 1.1,
    model: () => nets["resnet-20"].make(createRandom(1)),
  },
  separable: {
    title: "MobileNetV1 block, 32 x 64 x 28 x 28",
    input: image,
    label: [32, 256, 14, 14],
    limit: 1,
    model: () => modelOf(image, separable),
  },
  inverted: {
    title: "MobileNetV2 block, 32 x 64 x 28 x 28",
    input: image,
    label: image,
    limit: 1,
    model: () => modelOf(image, inverted),
  },
  encoder: {
    title: "Encoder layer, d 384, 6 heads, ff 1536, 16 x 128 tokens",
    input: [batch, tokens, width],
    label: [batch, tokens, width],
    limit: 1,
    model: () => modelOf([batch, tokens, width], encoder),
  },
};

/** The graph of a training step for one lane, which gets the batch divided by `lanes`. */
export function stepFor(
  { model: make, input, label }: Task,
  lanes: number,
  forms?: Forms,
): StepGraph {
  const model = make();
  const part = ([n, ...rest]: readonly number[]) => [n / lanes, ...rest];
  const [{ name }] = model.graph.inputs;
  const spec =
    label === "classes"
      ? { dtype: "int64" as const, shape: [input[0] / lanes] }
      : { dtype: "float32" as const, shape: part(label) };
  return stepOf(model, {
    shapes: { [name]: part(input) },
    feeds: { label: spec },
    learns: learnableOf(model),
    loss: (g: Builder, { outputs: [y] }, feeds) =>
      (label === "classes" ? softmaxCrossEntropy : mse)(g, y, feeds.label),
    ...(forms && { forms }),
  });
}

/** Seeded inputs and labels, the same for both sides. */
export function dataOf({ input, label }: Task): { x: Tensor; label: Tensor } {
  const random = createRandom(7);
  const uniform = (shape: readonly number[]): Tensor => {
    const size = shape.reduce((a, b) => a * b, 1);
    return tensor(
      "float32",
      shape,
      Float32Array.from({ length: size }, () => random.float() - 0.5),
    );
  };
  const x = uniform(input);
  if (label !== "classes") return { x, label: uniform(label) };
  const classes = BigInt64Array.from({ length: input[0] }, () => BigInt(random.int(10)));
  return { x, label: tensor("int64", [input[0]], classes) };
}
