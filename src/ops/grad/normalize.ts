/** @file Gradients of normalizations y = scale * n + bias, n being the standardized x. */
import type { Value } from "../../ir/graph.ts";
import type { Builder } from "../builder.ts";
import {
  axisOf,
  castTo,
  type GradNode,
  type GradRules,
  type OneRule,
  perChannel,
  product,
  rankOf,
  reshapeLike,
  scalar,
  shapeValue,
  sumPerChannel,
  zerosLike,
} from "./rule.ts";

/** The mean over the normalized axes, which stay with size 1. */
type Mean = (x: Value) => Value;

/** n = (x - mean) r with r = 1 / sqrt(variance + epsilon). */
function standardize(g: Builder, x: Value, mean: Mean, epsilon: number) {
  const centred = g.Sub(x, mean(x));
  const variance = mean(g.Mul(centred, centred));
  const r = inverseRoot(g, variance, epsilon);
  return { n: g.Mul(centred, r), r };
}

function inverseRoot(g: Builder, variance: Value, epsilon: number): Value {
  return g.Reciprocal(g.Sqrt(g.Add(variance, scalar(g, variance, epsilon))));
}

/** dx = r (dn - mean(dn) - n mean(dn n)). */
function backStandardized(g: Builder, dn: Value, n: Value, r: Value, mean: Mean): Value {
  const rest = g.Sub(g.Sub(dn, mean(dn)), g.Mul(n, mean(g.Mul(dn, n))));
  return g.Mul(r, rest);
}

/** Means over these axes. */
function meanOver(g: Builder, axes: readonly number[]): Mean {
  return (x) => g.ReduceMean(x, g.ints(axes, "axes"));
}

const from = (first: number, rank: number): number[] =>
  Array.from({ length: rank - first }, (_, i) => first + i);

/**
 * Mean and variance [C] of the batch: the outputs of a node whose momentum is 0 (`toTrainingMode`
 * makes such), which mix in nothing of earlier batches; otherwise they are computed.
 */
function batchMoments(g: Builder, node: GradNode, rank: number): readonly [Value, Value] {
  const [x] = node.inputs;
  const [, mean, variance] = node.outputs;
  if (variance && node.float("momentum", 0.9) === 0) return [mean, variance];
  // Means over positions first, then over the batch, are faster than over both at once.
  const over = (axes: readonly number[], of: Value): Value =>
    g.ReduceMean(of, g.ints(axes, "axes"), { keepdims: 0 });
  const meanOf = (of: Value): Value => over([0], rank > 2 ? over(from(2, rank), of) : of);
  const found = meanOf(x);
  const centred = g.Sub(x, perChannel(g, found, rank));
  return [found, meanOf(g.Mul(centred, centred))];
}

/** The number of elements of one channel, in the type of x. */
function countPerChannel(g: Builder, x: Value, scale: Value): Value {
  const sizes = x.shape ?? [null];
  const known = sizes.filter((dim, axis): dim is number => axis !== 1 && typeof dim === "number");
  if (known.length === sizes.length - 1) return scalar(g, x, product(known));
  return castTo(g, g.Div(g.Size(x), g.Size(scale)), x.dtype ?? "float32");
}

/**
 * With n = (x - mean) r, m elements per channel, scale s and sums over a channel:
 *   ds = sum dy n = r (sum dy x - mean sum dy),  db = sum dy
 *   dx = s r (dy - sum dy / m) - s r n ds / m
 * Both terms of dx are normalizations in inference mode, which are fused kernels: 4.9
 * instead of 6.2 ms. With given statistics (inference) these have gradients too, with dr /
 * dvariance = -r^3 / 2.
 */
const batchNorm: OneRule = (g, dy, node) => {
  const [x, scale, , givenMean, givenVariance] = node.inputs;
  const rank = rankOf(x, node);
  const epsilon = node.float("epsilon", 1e-5);
  const isTraining = node.int("training_mode", 0) === 1;
  const moments = isTraining ? batchMoments(g, node, rank) : [givenMean, givenVariance];
  const [mean, variance] = moments;
  const r = inverseRoot(g, variance, epsilon);
  const db = sumPerChannel(g, dy, rank);
  const ds = g.Mul(r, g.Sub(sumPerChannel(g, g.Mul(dy, x), rank), g.Mul(mean, db)));
  const zeros = zerosLike(g, scale);
  const normal = (of: Value, by: Value, centre: Value): Value =>
    g.BatchNormalization(of, by, zeros, centre, variance, { epsilon });
  const slope = g.Mul(scale, r);
  if (!isTraining) {
    const dVariance = g.Mul(scalar(g, x, -0.5), g.Mul(g.Mul(slope, r), ds));
    return [normal(dy, scale, zeros), ds, db, g.Neg(g.Mul(slope, db)), dVariance];
  }
  const m = countPerChannel(g, x, scale);
  const dx = g.Sub(normal(dy, scale, g.Div(db, m)), normal(x, g.Mul(slope, g.Div(ds, m)), mean));
  // The statistics of earlier batches do not affect y.
  return [dx, ds, db, zeros, zeros];
};

/**
 * Scale and bias have the shape of the normalized axes; the driver sums their
 * gradients over the others.
 */
const layerNorm: OneRule = (g, dy, node) => {
  const [x, scale, bias] = node.inputs;
  const rank = rankOf(x, node);
  const axis = axisOf(node.int("axis", -1), rank);
  const mean = meanOver(g, from(axis, rank));
  // n and r in one pass, by the operator itself with a scale of ones.
  const ones = g.Expand(scalar(g, x, 1), shapeValue(g, scale));
  const attributes = { axis, epsilon: node.float("epsilon", 1e-5) };
  const [n, , r] = g.many("LayerNormalization", [x, ones], { outputs: 3, attributes });
  const dx = backStandardized(g, g.Mul(dy, scale), n, r, mean);
  return [dx, g.Mul(dy, n), bias ? dy : null];
};

const instanceNorm: OneRule = (g, dy, node) => {
  const [x, scale] = node.inputs;
  const rank = rankOf(x, node);
  const mean = meanOver(g, from(2, rank));
  const { n, r } = standardize(g, x, mean, node.float("epsilon", 1e-5));
  const dx = backStandardized(g, g.Mul(dy, perChannel(g, scale, rank)), n, r, mean);
  return [dx, sumPerChannel(g, g.Mul(dy, n), rank), sumPerChannel(g, dy, rank)];
};

/** As instance normalization of groups of channels. */
const groupNorm: OneRule = (g, dy, node) => {
  const [x, scale] = node.inputs;
  const rank = rankOf(x, node);
  const grouped = (value: Value): Value =>
    g.Reshape(value, g.ints([0, node.int("num_groups", 1), -1], "shape"));
  const mean = meanOver(g, [2]);
  const { n, r } = standardize(g, grouped(x), mean, node.float("epsilon", 1e-5));
  const dn = grouped(g.Mul(dy, perChannel(g, scale, rank)));
  const dx = reshapeLike(g, backStandardized(g, dn, n, r, mean), x);
  const product = g.Mul(dy, reshapeLike(g, n, x));
  return [dx, sumPerChannel(g, product, rank), sumPerChannel(g, dy, rank)];
};

/** n = x r with r = 1 / sqrt(mean(x^2) + epsilon): dx = r (dn - n mean(dn n)). */
const rmsNorm: OneRule = (g, dy, node) => {
  const [x, scale] = node.inputs;
  const rank = rankOf(x, node);
  const mean = meanOver(g, from(axisOf(node.int("axis", -1), rank), rank));
  const r = inverseRoot(g, mean(g.Mul(x, x)), node.float("epsilon", 1e-5));
  const n = g.Mul(x, r);
  const dn = g.Mul(dy, scale);
  return [g.Mul(r, g.Sub(dn, g.Mul(n, mean(g.Mul(dn, n))))), g.Mul(dy, n)];
};

export const normalizations = {
  BatchNormalization: batchNorm,
  LayerNormalization: layerNorm,
  InstanceNormalization: instanceNorm,
  GroupNormalization: groupNorm,
  RMSNormalization: rmsNorm,
} satisfies GradRules;
