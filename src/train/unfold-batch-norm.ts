/** @file Un-folds batch normalization: a model exported with it folded into its convolutions trains better with it. */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { type Builder, build } from "../ops/builder.ts";
import { constantValue, isConstantExpression } from "../ops/constant.ts";
import { inferModel, inferNode } from "../ops/infer.ts";
import { linearOf } from "../ops/linear.ts";
import { keepsStatistics } from "../ops/norms.ts";
import { hasTrait } from "../ops/traits.ts";

/** Of each channel over a calibration set; the variance is biased (divided by the count). */
export interface ChannelStatistics {
  readonly mean: ArrayLike<number>;
  readonly variance: ArrayLike<number>;
}

const EPSILON = 1e-5;

/**
 * The outputs [N, C, ...] of convolutions that `unfoldBatchNorm` can put a normalization behind: one
 * that an activation or a sum reads, not one of single positions (gates of squeeze-and-excitation)
 * nor one that the model returns.
 */
export function convolutions(model: Model): Value[] {
  inferModel(model);
  return model.graph
    .sorted()
    .filter((node) => linearOf(node)?.kind === "conv" && isFolded(node))
    .map(({ output }) => output);
}

function isFolded({ inputs: [, w, b], output }: Node): boolean {
  const isConstant = w && isConstantExpression(w) && (!b || isConstantExpression(b));
  const isPoint = output.shape?.slice(2).every((dim) => dim === 1) ?? true;
  const { consumers } = output;
  return (
    Boolean(isConstant) &&
    !isPoint &&
    !output.isOutput &&
    consumers.some((node) => hasTrait(node, "followsNorm")) &&
    !consumers.some(keepsStatistics)
  );
}

/** What statistics are made of: mean and mean square of each channel of a batch, each [C]. */
export function channelMoments(g: Builder, x: Value): { mean: Value; square: Value } {
  const rank = x.shape?.length ?? 4;
  const axes = Array.from({ length: rank }, (_, axis) => axis).filter((axis) => axis !== 1);
  const meanOf = (value: Value): Value =>
    g.ReduceMean(value, g.ints(axes, "axes"), { keepdims: 0 });
  return { mean: meanOf(x), square: meanOf(g.Mul(x, x)) };
}

/**
 * Puts a BatchNormalization behind each of these values, such that the function stays: with mean mu
 * and sigma = sqrt(variance + epsilon) of the calibration set, y = gamma (z - mu) / sigma + beta is z
 * for gamma = sigma, beta = mu. The convolution's bias goes into it. Training then moves gamma and
 * beta and standardizes by batches; `rewrite` folds all of it back (fold-batchnorm). Gives the nodes.
 */
export function unfoldBatchNorm(
  model: Model,
  statistics: ReadonlyMap<Value, ChannelStatistics>,
): Node[] {
  return Array.from(statistics, ([z, { mean, variance }]) => {
    const conv = z.producer as Node;
    const bias = conv.inputs[2] ? constantValue(conv.inputs[2])?.numbers() : null;
    const g = build(model.graph, `${conv.name}/norm`, inferNode);
    const sigma = Float32Array.from(variance, (v) => Math.sqrt(v + EPSILON));
    const readers = [...z.uses];
    const vector = (values: ArrayLike<number>, name: string): Value =>
      g.constant(Float32Array.from(values), { name });
    const y = g.BatchNormalization(
      z,
      vector(sigma, "scale"),
      vector(mean, "bias"),
      vector(bias ? Array.from(mean, (mu, c) => mu - bias[c]) : mean, "mean"),
      vector(variance, "variance"),
      { epsilon: EPSILON },
    );
    if (bias) conv.setInputs(conv.inputs.slice(0, 2));
    for (const { user, index } of readers) {
      if ("setInput" in user) user.setInput(index, y);
    }
    return y.producer as Node;
  });
}
