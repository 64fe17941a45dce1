/** @file Evaluation of normalizations and softmaxes: statistics over axes, then an affine map. */
import { type DType, dtypeOfCode } from "../../ir/dtype.ts";
import type { Node } from "../../ir/graph.ts";
import { type Tensor, tensor } from "../../ir/tensor.ts";
import {
  axisOf,
  broadcastPositions,
  doubles,
  type EvaluateRule,
  type EvaluateRules,
  eachCoordinate,
  optional,
  product,
  type Shape,
} from "./elements.ts";
import { groupsAlong } from "./reduce.ts";

interface Moments {
  readonly mean: number;
  readonly variance: number;
}

function momentsOf(values: ArrayLike<number>, group: Int32Array): Moments {
  let mean = 0;
  for (const i of group) mean += values[i];
  mean /= group.length;
  let variance = 0;
  for (const i of group) variance += (values[i] - mean) ** 2;
  return { mean, variance: variance / group.length };
}

/** (x - mean) / sqrt(variance + epsilon) within each group of positions. */
function standardize(
  values: ArrayLike<number>,
  groups: Int32Array[],
  epsilon: number,
): Float64Array {
  const results = new Float64Array(values.length);
  for (const group of groups) {
    const { mean, variance } = momentsOf(values, group);
    const inverse = 1 / Math.sqrt(variance + epsilon);
    for (const i of group) results[i] = (values[i] - mean) * inverse;
  }
  return results;
}

/** y = x * scale + bias, both broadcast from `shape` to the shape of x. */
function affine(
  dtype: DType,
  to: Shape,
  values: Float64Array,
  scale: Tensor,
  bias: Tensor | null,
  shape: Shape,
): Tensor {
  const at = broadcastPositions(shape, to);
  const [a, b] = [scale.numbers(), bias?.numbers()];
  return tensor(
    dtype,
    to,
    values.map((v, i) => v * a[at[i]] + (b?.[at[i]] ?? 0)),
  );
}

/** The shape in which a vector [C] is broadcast against [N, C, ...]. */
const perChannel = (shape: Shape): number[] => shape.slice(1).map((dim, i) => (i === 0 ? dim : 1));

const spatialAxes = (shape: Shape): number[] => shape.map((_, axis) => axis).slice(2);

/**
 * Inference uses the given statistics. Training normalizes by the batch, and also returns momentum
 * * running + (1 - momentum) * batch.
 */
const batchNorm: EvaluateRule = ([x, scale, bias, mean, variance], node) => {
  const epsilon = node.float("epsilon", 1e-5);
  const shape = perChannel(x.shape);
  const values = doubles(x);
  if (node.int("training_mode", 0) === 0) {
    const at = broadcastPositions(shape, x.shape);
    const [m, v] = [mean.numbers(), variance.numbers()];
    const normal = values.map((u, i) => (u - m[at[i]]) / Math.sqrt(v[at[i]] + epsilon));
    return affine(x.dtype, x.shape, normal, scale, bias, shape);
  }
  const { groups } = groupsAlong(x.shape, [0, ...spatialAxes(x.shape)], false);
  const momentum = node.float("momentum", 0.9);
  const moments = groups.map((group) => momentsOf(values, group));
  const running = (old: Tensor, key: keyof Moments): Tensor => {
    const before = old.numbers();
    const after = moments.map((now, c) => momentum * before[c] + (1 - momentum) * now[key]);
    return tensor(old.dtype, old.shape, after);
  };
  const normal = standardize(values, groups, epsilon);
  return [
    affine(x.dtype, x.shape, normal, scale, bias, shape),
    running(mean, "mean"),
    running(variance, "variance"),
  ];
};

const instanceNorm: EvaluateRule = ([x, scale, bias], node) => {
  const { groups } = groupsAlong(x.shape, spatialAxes(x.shape), false);
  const normal = standardize(doubles(x), groups, node.float("epsilon", 1e-5));
  return affine(x.dtype, x.shape, normal, scale, bias, perChannel(x.shape));
};

const groupNorm: EvaluateRule = ([x, scale, bias], node) => {
  const [batch, channels, ...sides] = x.shape;
  const count = node.int("num_groups", 1);
  const split = [batch, count, (channels / count) * product(sides)];
  const { groups } = groupsAlong(split, [2], false);
  const normal = standardize(doubles(x), groups, node.float("epsilon", 1e-5));
  return affine(x.dtype, x.shape, normal, scale, bias, perChannel(x.shape));
};

const axesFrom = (node: Node, rank: number): number[] => {
  const first = axisOf(node.int("axis", -1), rank);
  return Array.from({ length: rank - first }, (_, i) => first + i);
};

/**
 * Normalizes over the axes from `axis` on; also returns the mean and 1 / sqrt(variance + epsilon).
 */
const layerNorm: EvaluateRule = (inputs, node) => {
  const [x, scale] = inputs;
  const epsilon = node.float("epsilon", 1e-5);
  const { groups, shape } = groupsAlong(x.shape, axesFrom(node, x.shape.length), true);
  const values = doubles(x);
  const normal = standardize(values, groups, epsilon);
  const moments = groups.map((group) => momentsOf(values, group));
  const dtype = dtypeOfCode(node.int("stash_type", 1)) ?? "float32";
  return [
    affine(x.dtype, x.shape, normal, scale, optional(inputs, 2), scale.shape),
    tensor(
      dtype,
      shape,
      moments.map(({ mean }) => mean),
    ),
    tensor(
      dtype,
      shape,
      moments.map(({ variance }) => 1 / Math.sqrt(variance + epsilon)),
    ),
  ];
};

/** x / sqrt(mean(x^2) + epsilon) * scale (Zhang, Sennrich 2019, arXiv 1910.07467). */
const rmsNorm: EvaluateRule = ([x, scale], node) => {
  const epsilon = node.float("epsilon", 1e-5);
  const { groups } = groupsAlong(x.shape, axesFrom(node, x.shape.length), true);
  const values = doubles(x);
  for (const group of groups) {
    let squares = 0;
    for (const i of group) squares += values[i] ** 2;
    const inverse = 1 / Math.sqrt(squares / group.length + epsilon);
    for (const i of group) values[i] *= inverse;
  }
  return affine(scale.dtype, x.shape, values, scale, null, scale.shape);
};

const meanVarianceNorm: EvaluateRule = ([x], node) => {
  const axes = (node.ints("axes") ?? [0, 2, 3]).map((axis) => axisOf(axis, x.shape.length));
  const { groups } = groupsAlong(x.shape, axes, false);
  // ONNX adds the 1e-9 to the deviation, not to the variance.
  const values = doubles(x);
  const results = new Float64Array(values.length);
  for (const group of groups) {
    const { mean, variance } = momentsOf(values, group);
    for (const i of group) results[i] = (values[i] - mean) / (Math.sqrt(variance) + 1e-9);
  }
  return tensor(x.dtype, x.shape, results);
};

/** x / (bias + alpha / size * sum of squares over neighbouring channels)^beta. */
const lrn: EvaluateRule = ([x], node) => {
  const size = node.int("size", 1);
  const [alpha, beta] = [node.float("alpha", 1e-4), node.float("beta", 0.75)];
  const bias = node.float("bias", 1);
  const values = doubles(x);
  const [channels, area] = [x.shape[1], product(x.shape.slice(2))];
  const [before, after] = [Math.floor((size - 1) / 2), Math.ceil((size - 1) / 2)];
  const results = new Float64Array(values.length);
  eachCoordinate(x.shape, (at, flat) => {
    let squares = 0;
    for (let c = at[1] - before; c <= at[1] + after; c++) {
      if (c >= 0 && c < channels) squares += values[flat + (c - at[1]) * area] ** 2;
    }
    results[flat] = values[flat] / (bias + (alpha / size) * squares) ** beta;
  });
  return tensor(x.dtype, x.shape, results);
};

/** x / (sum |x|^p)^(1/p) along an axis; 0 where the norm is 0. */
const lpNorm: EvaluateRule = ([x], node) => {
  const p = node.int("p", 2);
  const { groups } = groupsAlong(x.shape, [axisOf(node.int("axis", -1), x.shape.length)], true);
  const values = doubles(x);
  for (const group of groups) {
    let sum = 0;
    for (const i of group) sum += Math.abs(values[i]) ** p;
    const norm = sum ** (1 / p);
    for (const i of group) values[i] = norm === 0 ? 0 : values[i] / norm;
  }
  return tensor(x.dtype, x.shape, values);
};

/**
 * x - log sum exp x along an axis, in place. The maximum is subtracted first, so that
 * exp cannot overflow.
 */
export function logSoftmax(values: Float64Array, shape: Shape, axis: number): void {
  for (const group of groupsAlong(shape, [axis], true).groups) {
    let top = -Infinity;
    for (const i of group) top = Math.max(top, values[i]);
    let sum = 0;
    for (const i of group) sum += Math.exp(values[i] - top);
    const shift = top + Math.log(sum);
    for (const i of group) values[i] -= shift;
  }
}

function softmax(finish: (logarithm: number) => number): EvaluateRule {
  return ([x], node) => {
    const values = doubles(x);
    logSoftmax(values, x.shape, axisOf(node.int("axis", -1), x.shape.length));
    return tensor(x.dtype, x.shape, values.map(finish));
  };
}

export const normalizations = {
  BatchNormalization: batchNorm,
  GroupNormalization: groupNorm,
  InstanceNormalization: instanceNorm,
  LRN: lrn,
  LayerNormalization: layerNorm,
  LogSoftmax: softmax((x) => x),
  LpNormalization: lpNorm,
  MeanVarianceNormalization: meanVarianceNorm,
  RMSNormalization: rmsNorm,
  Softmax: softmax(Math.exp),
} satisfies EvaluateRules;
