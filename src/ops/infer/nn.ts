/** @file Shapes of layers: convolutions, pools, products, recurrent networks, losses. */
import type { Dim, Node } from "../../ir/graph.ts";
import { product } from "../../util/product.ts";
import { parseEinsum } from "../einsum.ts";
import { transposedAxis, type Window, windowCount, windowOf } from "../window.ts";
import {
  axisOf,
  broadcastDims,
  type InferRule,
  type InferRules,
  isStatic,
  mapDim,
  ofInput,
  type Shape,
  shapeOf,
  unknown,
} from "./dims.ts";
import { numbersOf } from "./known.ts";

/** The number of window positions. A window that keeps every size keeps symbolic ones as well. */
function windowDim(window: Window, axis: number, dim: Dim): Dim {
  if (typeof dim === "number") return windowCount(window, axis, dim);
  if (window.strides[axis] !== 1) return null;
  // With stride 1 the number is the size plus a constant, so two sizes decide for all.
  const keeps = [1000, 1001].every((size) => windowCount(window, axis, size) === size);
  return keeps ? dim : null;
}

/** The spatial size of the kernel, from the attribute or the weight; null if neither is known. */
function kernelOf(node: Node, weight: Shape | null): readonly number[] | null {
  const given = node.ints("kernel_shape");
  if (given) return given;
  const sides = weight?.slice(2);
  return isStatic(sides) ? sides : null;
}

/** x [N, C, ...sides], weight [M, C / groups, ...kernel] -> [N, M, ...positions]. */
const conv = (weightIndex: number): InferRule =>
  ofInput(([batch, , ...sides], node) => {
    const weight = shapeOf(node, weightIndex);
    const kernel = kernelOf(node, weight);
    const channels = weight?.[0] ?? null;
    if (!kernel) return [batch, channels, ...unknown(sides.length)];
    const window = windowOf(node, kernel);
    return [batch, channels, ...sides.map((dim, axis) => windowDim(window, axis, dim))];
  });

/** x [N, C, ...sides], weight [C, M / groups, ...kernel] -> [N, M, ...positions]. */
const convTranspose = ofInput(([batch, , ...sides], node) => {
  const weight = shapeOf(node, 1);
  const kernel = kernelOf(node, weight);
  const channels = mapDim(weight?.[1], (size) => size * node.int("group", 1));
  if (!kernel) return [batch, channels, ...unknown(sides.length)];
  const window = windowOf(node, kernel);
  return [
    batch,
    channels,
    ...sides.map((dim, axis) =>
      mapDim(dim, (size) => transposedAxis(node, window, axis, size).size),
    ),
  ];
});

const pool: InferRule = (node) => {
  const shape = shapeOf(node, 0);
  const kernel = node.ints("kernel_shape");
  if (!shape || !kernel) return node.outputs.map(() => null);
  const window = windowOf(node, kernel);
  const [batch, channels, ...sides] = shape;
  const result = [batch, channels, ...sides.map((dim, axis) => windowDim(window, axis, dim))];
  return node.outputs.map(() => result);
};

const globalPool = ofInput(([batch, channels, ...sides]) => [
  batch,
  channels,
  ...sides.map(() => 1),
]);

const matMul =
  (left: number, right: number): InferRule =>
  (node) => [matMulShape(shapeOf(node, left), shapeOf(node, right))];

/**
 * NumPy's matmul: batches are broadcast, and a vector gets an axis of 1 that the
 * result lacks again.
 */
export function matMulShape(a: Shape | null, b: Shape | null): Shape | null {
  if (!a || !b || a.length === 0 || b.length === 0) return null;
  const batch = broadcastDims([a.slice(0, -2), b.slice(0, -2)]) as Shape;
  const rows = a.length > 1 ? [a.at(-2) as Dim] : [];
  const columns = b.length > 1 ? [b.at(-1) as Dim] : [];
  return [...batch, ...rows, ...columns];
}

const gemm: InferRule = (node) => {
  const [a, b] = [shapeOf(node, 0), shapeOf(node, 1)];
  const rows = a?.[node.int("transA", 0) ? 1 : 0] ?? null;
  return [[rows, b?.[node.int("transB", 0) ? 0 : 1] ?? null]];
};

/**
 * Sequences [T, N, X] (layout 1: [N, T, X]) -> Y [T, directions, N, H], Y_h and, for LSTM, Y_c
 * [directions, N, H]; with layout 1 the batch comes first.
 */
const recurrent: InferRule = (node) => {
  const x = shapeOf(node, 0);
  const hidden = node.int("hidden_size") ?? shapeOf(node, 2)?.[2] ?? null;
  const directions = node.text("direction", "forward") === "bidirectional" ? 2 : 1;
  const isBatchFirst = node.int("layout", 0) === 1;
  const [time, batch] = isBatchFirst ? [x?.[1], x?.[0]] : [x?.[0], x?.[1]];
  const state: Shape = isBatchFirst
    ? [batch ?? null, directions, hidden]
    : [directions, batch ?? null, hidden];
  const all: Shape = isBatchFirst
    ? [batch ?? null, time ?? null, directions, hidden]
    : [time ?? null, directions, batch ?? null, hidden];
  return [all, state, state];
};

/** In training mode the running statistics are outputs too. */
const batchNorm: InferRule = (node) => [shapeOf(node, 0), shapeOf(node, 3), shapeOf(node, 4)];

/** The output, and mean and inverse deviation with size 1 along the normalized axes. */
const layerNorm: InferRule = (node) => {
  const shape = shapeOf(node, 0);
  if (!shape) return node.outputs.map(() => null);
  const axis = axisOf(node.int("axis", -1), shape.length);
  const statistic = shape.map((dim, i) => (i < axis ? dim : 1));
  return [shape, statistic, statistic];
};

/** Each subscript's size is that of any operand that has it, broadcast. */
const einsum: InferRule = (node) => {
  const shapes = node.inputs.map((_, i) => shapeOf(node, i));
  const ranks = shapes.map((shape) => shape?.length ?? -1);
  if (ranks.includes(-1)) return [null];
  const { inputs, output } = parseEinsum(node.text("equation", ""), ranks);
  const dims = new Map<string, Dim>();
  for (const [i, axes] of inputs.entries()) {
    for (const [k, axis] of axes.entries()) {
      const dim = shapes[i]?.[k] ?? null;
      const [merged] = broadcastDims([[dims.get(axis) ?? 1], [dim]]) ?? [null];
      dims.set(axis, merged);
    }
  }
  return [output.map((axis) => dims.get(axis) ?? null)];
};

/**
 * Queries, keys and values are [B, heads, S, E], or [B, S, heads E] with the head counts as
 * attributes. Further outputs are the keys and values with the cache in front, and the scores.
 */
const attention: InferRule = (node) => {
  const [q, k, v] = [0, 1, 2].map((i) => shapeOf(node, i));
  if (!q || !k || !v) return node.outputs.map(() => null);
  const [queryHeads, heads] = [node.int("q_num_heads", 1), node.int("kv_num_heads", 1)];
  const past = shapeOf(node, 4);
  const grown = (length: Dim): Dim =>
    node.inputs[4]
      ? mapDim(past?.[2], (p) => (typeof length === "number" ? p + length : NaN))
      : length;
  const total = grown(k.length === 4 ? k[2] : k[1]);
  const length = Number.isNaN(total) ? null : total;
  const split = (dim: Dim, by: number): Dim => mapDim(dim, (size) => size / by);
  if (q.length === 4) {
    const cache = (x: Shape): Shape => [x[0], x[1], length, x[3]];
    return [[...q.slice(0, 3), v[3]], cache(k), cache(v), [q[0], q[1], q[2], length]];
  }
  const width = mapDim(v[2], (size) => (size / heads) * queryHeads);
  const cache = (x: Shape): Shape => [x[0], heads, length, split(x[2], heads)];
  return [[q[0], q[1], width], cache(k), cache(v), [q[0], queryHeads, q[1], length]];
};

const gridSample: InferRule = (node) => {
  const [x, grid] = [shapeOf(node, 0), shapeOf(node, 1)];
  return [x && grid ? [x[0], x[1], ...grid.slice(1, -1)] : null];
};

const affineGrid: InferRule = (_, { known }) => {
  const size = known(1)?.elements;
  return [size ? [size[0], ...size.slice(2), size.length - 2] : null];
};

/** Regions of interest -> [regions, C, height, width]. */
const roi = (height: string, width: string, roisIndex: number): InferRule =>
  ofInput((x, node) => [
    shapeOf(node, roisIndex)?.[0] ?? null,
    x[1],
    node.int(height, 1),
    node.int(width, 1),
  ]);

const maxRoiPool: InferRule = ofInput((x, node) => [
  shapeOf(node, 1)?.[0] ?? null,
  x[1],
  ...(node.ints("pooled_shape") ?? [null, null]),
]);

const maxUnpool: InferRule = ofInput((x, node, { known }) => {
  if (node.inputs[2]) return known(2)?.elements ?? null;
  const kernel = node.ints("kernel_shape");
  if (!kernel) return null;
  const window = windowOf(node, kernel);
  const sides = x
    .slice(2)
    .map((dim, axis) => mapDim(dim, (size) => transposedAxis(node, window, axis, size).size));
  return [x[0], x[1], ...sides];
});

/** A scalar, or the target's shape if nothing is reduced; and the logarithms of probabilities. */
const loss: InferRule = (node) => {
  const value = node.text("reduction", "mean") === "none" ? shapeOf(node, 1) : [];
  return [value, shapeOf(node, 0)];
};

/** Columns [N, C taps, positions] -> image [N, C, ...sides]. */
const col2Im: InferRule = (node, { known }) => {
  const [x, image, block] = [shapeOf(node, 0), known(1)?.elements, numbersOf(known(2))];
  if (!x || !image || !block) return [null];
  return [[x[0], mapDim(x[1], (dim) => dim / product(block)), ...image]];
};

/**
 * Along the transformed axis: with `onesided` length / 2 + 1 bins forward, and from as many bins
 * back to the even length 2 (bins - 1).
 */
const dft: InferRule = ofInput((shape, node, { known }) => {
  const [isHalf, isInverse] = [node.int("onesided", 0) === 1, node.int("inverse", 0) === 1];
  const last = isHalf && isInverse ? 1 : 2;
  const given = node.inputs[2] ? numbersOf(known(2))?.[0] : -2;
  if (given === undefined) return [...unknown(shape.length - 1), last];
  const axis = axisOf(given, shape.length);
  const length = node.inputs[1] ? (known(1)?.elements[0] ?? null) : null;
  const natural = isHalf && isInverse ? mapDim(shape[axis], (bins) => 2 * (bins - 1)) : shape[axis];
  const size = node.inputs[1] ? length : natural;
  const bins = isHalf && !isInverse ? mapDim(size, (n) => Math.floor(n / 2) + 1) : size;
  return shape.with(axis, bins).with(-1, last);
});

/** Signal [N, length, 1] -> [N, frames, bins, 2]. */
const stft: InferRule = ofInput((signal, node, { known }) => {
  const step = numbersOf(known(1))?.[0];
  const window = shapeOf(node, 2)?.[0];
  const frame = node.inputs[3] ? numbersOf(known(3))?.[0] : window;
  if (typeof step !== "number" || typeof frame !== "number") return [signal[0], null, null, 2];
  const frames = mapDim(signal[1], (length) => Math.floor((length - frame) / step) + 1);
  return [signal[0], frames, node.int("onesided", 1) ? Math.floor(frame / 2) + 1 : frame, 2];
});

const windowFunction: InferRule = (_, { known }) => [[known(0)?.elements[0] ?? null]];

export const inferNn: InferRules = {
  AffineGrid: affineGrid,
  Attention: attention,
  AveragePool: pool,
  BatchNormalization: batchNorm,
  BlackmanWindow: windowFunction,
  Col2Im: col2Im,
  Conv: conv(1),
  ConvInteger: conv(1),
  ConvTranspose: convTranspose,
  DFT: dft,
  DeformConv: conv(1),
  Det: ofInput((shape) => shape.slice(0, -2)),
  DynamicQuantizeLinear: (node) => [shapeOf(node, 0), [], []],
  Einsum: einsum,
  GRU: recurrent,
  Gemm: gemm,
  GlobalAveragePool: globalPool,
  GlobalLpPool: globalPool,
  GlobalMaxPool: globalPool,
  GridSample: gridSample,
  HammingWindow: windowFunction,
  HannWindow: windowFunction,
  LSTM: recurrent,
  LayerNormalization: layerNorm,
  LpPool: pool,
  MatMul: matMul(0, 1),
  MatMulInteger: matMul(0, 1),
  MaxPool: pool,
  MaxRoiPool: maxRoiPool,
  MaxUnpool: maxUnpool,
  MelWeightMatrix: (_, { known }) => [
    [mapDim(known(1)?.elements[0], (n) => Math.floor(n / 2) + 1), known(0)?.elements[0] ?? null],
  ],
  Multinomial: ofInput((shape, node) => [shape[0], node.int("sample_size", 1)]),
  NegativeLogLikelihoodLoss: loss,
  NonMaxSuppression: () => [[null, 3]],
  QLinearConv: conv(3),
  QLinearMatMul: matMul(0, 3),
  RNN: recurrent,
  RoiAlign: roi("output_height", "output_width", 1),
  STFT: stft,
  SoftmaxCrossEntropyLoss: loss,
};
