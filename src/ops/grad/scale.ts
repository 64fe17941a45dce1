/** @file Gradients of normalizations without parameters. */
import type { Value } from "../../ir/graph.ts";
import type { Builder } from "../builder.ts";
import {
  axisOf,
  type GradRules,
  rankOf,
  reshapeLike,
  scalar,
  sizesOf,
  unsupported,
} from "./rule.ts";

/** The mean over a window of channels, with zeros beyond both ends. */
function windowMean(g: Builder, x: Value, channels: number, pads: readonly number[]): Value {
  const columns = g.Reshape(x, g.ints([0, 1, channels, -1], "shape"));
  const mean = g.AveragePool(columns, {
    kernel_shape: [pads[0] + pads[1] + 1, 1],
    pads: [pads[0], 0, pads[1], 0],
    count_include_pad: 1,
  });
  return reshapeLike(g, mean, x);
}

export const scalings = {
  // y = x s^-b, s = k + a mean x^2: dx = dy s^-b - 2 a b x mean' (dy y / s), where mean'
  // has mirrored windows
  LRN: (g, dy, node) => {
    const [x] = node.inputs;
    const [channels] = sizesOf(x, node, 1);
    const size = node.int("size", 1);
    const [alpha, beta] = [node.float("alpha", 0.0001), node.float("beta", 0.75)];
    const pads = [Math.floor((size - 1) / 2), Math.ceil((size - 1) / 2)];
    const mean = windowMean(g, g.Mul(x, x), channels, pads);
    const s = g.Add(scalar(g, x, node.float("bias", 1)), g.Mul(scalar(g, x, alpha), mean));
    const part = g.Div(g.Mul(dy, node.output), s);
    const back = windowMean(g, part, channels, pads.toReversed());
    const direct = g.Mul(dy, g.Pow(s, scalar(g, x, -beta)));
    return [g.Sub(direct, g.Mul(g.Mul(scalar(g, x, 2 * alpha * beta), x), back))];
  },
  // y = x / |x|: dx = (dy - |x|' sum dy y) / |x| with |x|' = y for p = 2, sign x for p = 1
  LpNormalization: (g, dy, node) => {
    const [x] = node.inputs;
    const axes = g.ints([axisOf(node.int("axis", -1), rankOf(x, node))], "axes");
    const isSum = node.int("p", 2) === 1;
    const norm = isSum ? g.ReduceL1(x, axes) : g.ReduceL2(x, axes);
    const sum = g.ReduceSum(g.Mul(dy, node.output), axes);
    const slope = isSum ? g.Sign(x) : node.output;
    return [g.Div(g.Sub(dy, g.Mul(slope, sum)), norm)];
  },
  // y = (x - mean) / sigma: dx = (dy - mean dy - y mean dy y) / sigma
  MeanVarianceNormalization: (g, dy, node) => {
    const [x] = node.inputs;
    const rank = rankOf(x, node);
    const given = node.ints("axes") ?? [0, 2, 3];
    if (given.some((axis) => axisOf(axis, rank) >= rank)) throw unsupported(node, "these axes");
    const axes = g.ints(given, "axes");
    const mean = (value: Value): Value => g.ReduceMean(value, axes);
    const centred = g.Sub(x, mean(x));
    const sigma = g.Sqrt(mean(g.Mul(centred, centred)));
    const rest = g.Add(mean(dy), g.Mul(node.output, mean(g.Mul(dy, node.output))));
    return [g.Div(g.Sub(dy, rest), sigma)];
  },
} satisfies GradRules;
