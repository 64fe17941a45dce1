/** @file Gradients of normalizations: y = scale * n + bias, n the standardized x. */
import type { Value } from "../../ir/graph.ts";
import type { Builder } from "../builder.ts";
import {
  axisOf,
  type GradRules,
  type OneRule,
  perChannel,
  rankOf,
  reshapeLike,
  scalar,
  sumPerChannel,
  zerosLike,
} from "./rule.ts";

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

/** dx = r (dn - mean(dn) - n mean(dn n)) */
function backStandardized(g: Builder, dn: Value, n: Value, r: Value, mean: Mean): Value {
  const rest = g.Sub(g.Sub(dn, mean(dn)), g.Mul(n, mean(g.Mul(dn, n))));
  return g.Mul(r, rest);
}

/** Means over these axes, kept. */
function meanOver(g: Builder, axes: readonly number[]): Mean {
  return (x) => g.ReduceMean(x, g.ints(axes, "axes"));
}

const from = (first: number, rank: number): number[] =>
  Array.from({ length: rank - first }, (_, i) => first + i);

/** Statistics of the batch; or given ones, which then have gradients too. */
const batchNorm: OneRule = (g, dy, node) => {
  const [x, scale, , givenMean, givenVariance] = node.inputs;
  const rank = rankOf(x, node);
  const epsilon = node.float("epsilon", 1e-5);
  const wide = (value: Value): Value => perChannel(g, value, rank);
  const dn = g.Mul(dy, wide(scale));
  const sum = (value: Value): Value => sumPerChannel(g, value, rank);
  if (node.int("training_mode", 0) === 1) {
    // Over the plane first, then the batch: faster than both at once.
    const plane = meanOver(g, from(2, rank));
    const mean: Mean = (value) => meanOver(g, [0])(rank > 2 ? plane(value) : value);
    const { n, r } = standardize(g, x, mean, epsilon);
    const dx = backStandardized(g, dn, n, r, mean);
    // What is known of earlier batches does not enter y.
    const zeros = zerosLike(g, givenMean);
    return [dx, sum(g.Mul(dy, n)), sum(dy), zeros, zeros];
  }
  const r = wide(inverseRoot(g, givenVariance, epsilon));
  const n = g.Mul(g.Sub(x, wide(givenMean)), r);
  const dx = g.Mul(dn, r);
  // d r / d variance = -r^3 / 2
  const half = scalar(g, x, -0.5);
  const dVariance = g.Mul(half, sum(g.Mul(g.Mul(dn, n), g.Mul(r, r))));
  return [dx, sum(g.Mul(dy, n)), sum(dy), g.Neg(sum(dx)), dVariance];
};

/** Scale and bias have the normalized axes' shape: the driver sums over the others. */
const layerNorm: OneRule = (g, dy, node) => {
  const [x, scale, bias] = node.inputs;
  const rank = rankOf(x, node);
  const mean = meanOver(g, from(axisOf(node.int("axis", -1), rank), rank));
  const { n, r } = standardize(g, x, mean, node.float("epsilon", 1e-5));
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

/** As one instance per group of channels. */
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

/** n = x r with r = 1 / sqrt(mean(x^2) + epsilon): dx = r (dn - n mean(dn n)) */
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
