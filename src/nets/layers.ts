/** @file Layers with seeded initial weights, from which the networks are built. */
import type { Graph, Value } from "../ir/graph.ts";
import { Tensor } from "../ir/tensor.ts";
import type { Random } from "../numeric/random.ts";
import { type Builder, build } from "../ops/builder.ts";
import { inferNode } from "../ops/infer.ts";
import { product } from "../util/product.ts";

/**
 * Weights are drawn uniformly with variance gain / fan-in, where fan-in is the number of inputs
 * that an output sums over.
 *
 *   he      2  keeps the power of a signal through ReLU (He et al. 2015, arXiv 1502.01852, eq. 10)
 *   xavier  1  keeps its variance without ReLU, as Caffe's filler of that name (after Glorot and
 *              Bengio 2010)
 */
const gains = { he: 2, xavier: 1 } as const;
export type Filler = keyof typeof gains;

/**
 * Options of the last layer. Its weights are smaller, so that all classes are about
 * equally likely at first.
 */
export const last = { scale: 0.1 } as const;

/** One number for all four sides, or [top, left, bottom, right]. */
type Pad = number | readonly [number, number, number, number];

/**
 * Computes a weight of `shape` from smaller tensors that it draws, with the bounds of the weight's
 * own numbers.
 */
export type WeightOf = (
  g: Builder,
  draw: (shape: readonly number[]) => Value,
  [filters, channels, kernel]: readonly number[],
  shape: readonly number[],
) => Value;

interface ConvOptions {
  readonly stride?: number;
  /** By default the output has as many positions as the input (at stride 1). */
  readonly pad?: Pad;
  /** Default true. Layers before a normalization leave it out, as that has a bias of its own. */
  readonly bias?: boolean;
  /** Factor of the initial weights (default 1). */
  readonly scale?: number;
  /** By default the weight itself is drawn. */
  readonly weight?: WeightOf;
}

interface PoolOptions {
  /** The size of the kernel by default. */
  readonly stride?: number;
  readonly pad?: Pad;
}

/**
 * The layers of a network. Inputs and outputs are [N, C, H, W]; those of `dense` are [N, D]. The
 * sizes of the weights follow from the input.
 */
export interface Layers {
  conv(x: Value, channels: number, kernel: number, options?: ConvOptions): Value;
  /** Flattens its input first if it is not flat. */
  dense(x: Value, units: number, options?: { readonly scale?: number }): Value;
  /** BatchNormalization with scale 1 and bias 0. */
  norm(x: Value): Value;
  relu(x: Value): Value;
  /** relu(shortcut + branch) */
  join(shortcut: Value, branch: Value): Value;
  maxPool(x: Value, kernel: number, options?: PoolOptions): Value;
  averagePool(x: Value, kernel: number, options?: PoolOptions): Value;
  /** [N, C, H, W] -> [N, C] */
  globalPool(x: Value): Value;
  /** Every second position, and zeros in the channels that `x` has too few of. */
  subsample(x: Value, channels: number): Value;
  /** Other nodes that compute something of x, which has the power of x. */
  nodes(kind: string, x: Value, add: (g: Builder) => Value): Value;
}

/** Layers that add to `graph`. Nodes are named conv1, conv2, fc1 ... in the order of the calls. */
export function createLayers(graph: Graph, random: Random, filler: Filler = "he"): Layers {
  const gain = gains[filler];
  const counts = new Map<string, number>();
  /**
   * The power E[x^2] that the initialization implies, if inputs have power 1 and correlations are
   * ignored. Running variances start there, so that an untrained network computes much the same in
   * training and in inference.
   */
  const power = new Map<Value, number>();
  const powerOf = (x: Value): number => power.get(x) ?? 1;

  /** Adds the next layer of a kind with its own builder; `after` is the power of its output. */
  function layer(kind: string, after: number, add: (g: Builder, name: string) => Value): Value {
    const count = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, count);
    const name = `${kind}${count}`;
    const y = add(build(graph, name, inferNode), name);
    if (y.producer) y.producer.name = name;
    power.set(y, after);
    return y;
  }

  /**
   * A weight that is drawn when it is first read, so that building a network takes no time. Each
   * weight has a random stream of its own.
   */
  function weight(
    g: Builder,
    name: string,
    shape: readonly number[],
    scale: number,
    fanIn = sizeOf(shape.slice(1)),
  ): Value {
    const bound = scale * Math.sqrt((3 * gain) / fanIn);
    let bytes: Uint8Array | null = null;
    const load = (): Uint8Array => {
      if (bytes) return bytes;
      const stream = random.fork(name);
      const values = new Float32Array(sizeOf(shape));
      for (let i = 0; i < values.length; i++) values[i] = bound * (2 * stream.float() - 1);
      bytes = new Uint8Array(values.buffer);
      return bytes;
    };
    return g.constant(new Tensor("float32", shape, load), { name: "weight" });
  }

  const full = (g: Builder, name: string, size: number, value: number): Value =>
    g.constant(new Float32Array(size).fill(value), { name });

  function pool(kernel: number, { stride = kernel, pad = 0 }: PoolOptions) {
    return { kernel_shape: [kernel, kernel], strides: [stride, stride], pads: padsOf(pad) };
  }

  return {
    conv(x, channels, kernel, options = {}) {
      const { stride = 1, pad = (kernel - 1) / 2, bias = true, scale = 1 } = options;
      return layer("conv", gain * scale ** 2 * powerOf(x), (g, name) => {
        const shape = [channels, dimOf(x, 1), kernel, kernel];
        const draw = (part: readonly number[]): Value =>
          weight(g, name, part, scale, sizeOf(shape.slice(1)));
        // Names take bytes in the file, and an expression has many.
        const W = options.weight?.(build(graph, "", inferNode), draw, shape, shape) ?? draw(shape);
        const b = bias ? full(g, "bias", channels, 0) : null;
        return g.Conv(x, W, b, { strides: [stride, stride], pads: padsOf(pad) });
      });
    },
    dense(x, units, { scale = 1 } = {}) {
      const flat = x.shape?.length === 2 ? x : layer("flatten", powerOf(x), (g) => g.Flatten(x));
      return layer("fc", gain * scale ** 2 * powerOf(x), (g, name) => {
        const W = weight(g, name, [units, dimOf(flat, 1)], scale);
        return g.Gemm(flat, W, full(g, "bias", units, 0), { transB: 1 });
      });
    },
    norm(x) {
      const channels = dimOf(x, 1);
      return layer("norm", 1, (g) =>
        g.BatchNormalization(
          x,
          full(g, "scale", channels, 1),
          full(g, "bias", channels, 0),
          full(g, "mean", channels, 0),
          full(g, "variance", channels, powerOf(x)),
        ),
      );
    },
    relu: (x) => layer("relu", powerOf(x) / 2, (g) => g.Relu(x)),
    join(shortcut, branch) {
      // The shortcut's values are positive, so ReLU removes little of the sum's power.
      const power = powerOf(shortcut) + powerOf(branch);
      const sum = layer("add", power, (g) => g.Add(shortcut, branch));
      return layer("relu", power, (g) => g.Relu(sum));
    },
    maxPool: (x, kernel, options = {}) =>
      // The maximum of independent neighbours would have more power, but neighbours are correlated.
      layer("pool", kernel * powerOf(x), (g) => g.MaxPool(x, pool(kernel, options))),
    averagePool: (x, kernel, options = {}) =>
      layer("pool", powerOf(x), (g) => g.AveragePool(x, pool(kernel, options))),
    globalPool(x) {
      const mean = layer("pool", powerOf(x), (g) => g.GlobalAveragePool(x));
      return layer("flatten", powerOf(x), (g) => g.Flatten(mean));
    },
    nodes: (kind, x, add) => layer(kind, powerOf(x), add),
    subsample(x, channels) {
      const more = channels - dimOf(x, 1);
      return layer("shortcut", (powerOf(x) * dimOf(x, 1)) / channels, (g) => {
        const [starts, ends, steps] = [
          [0, 0],
          [dimOf(x, 2), dimOf(x, 3)],
          [2, 2],
        ];
        const kept = g.Slice(x, g.ints(starts), g.ints(ends), g.ints([2, 3]), g.ints(steps));
        return g.Pad(kept, g.ints([0, 0, 0, 0, 0, more, 0, 0]));
      });
    },
  };
}

const padsOf = (pad: Pad): readonly number[] =>
  typeof pad === "number" ? [pad, pad, pad, pad] : pad;

const dimOf = (x: Value, axis: number): number => x.shape?.[axis] as number;

const sizeOf = (shape: readonly number[]): number => product(shape);
