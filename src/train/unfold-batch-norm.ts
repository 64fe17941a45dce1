/**
 * @file Adds batch normalization again to a model exported with it folded into its convolutions.
 *
 * Such a model trains better with it; the function stays the same.
 */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { build } from "../ops/builder.ts";
import { constantValue, isConstantExpression } from "../ops/constant.ts";
import { inferModel, inferNode } from "../ops/infer.ts";
import { linearOf } from "../ops/linear.ts";
import { keepsStatistics } from "../ops/norms.ts";
import { hasTrait } from "../ops/traits.ts";

/**
 * Statistics of each channel [C] over a calibration set; the variance is biased
 * (divided by the count).
 */
export interface ChannelStatistics {
  readonly mean: ArrayLike<number>;
  readonly variance: ArrayLike<number>;
}

const EPSILON = 1e-5;

/**
 * The outputs [N, C, ...] of the convolutions that can get a normalization: those with constant
 * weights whose output an activation or a sum reads. Convolutions of single positions (gates of
 * squeeze-and-excitation) and outputs of the model are left out.
 */
export function convolutions(model: Model): Value[] {
  inferModel(model);
  return model.graph
    .sorted()
    .filter((node) => linearOf(node)?.kind === "conv" && isFolded(node))
    .map(({ output }) => output);
}

/** Whether a convolution looks as if a normalization was folded into it. */
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

/**
 * Adds a BatchNormalization behind each of these convolution outputs z, and returns the added
 * nodes.
 *
 * With the mean mu and sigma = sqrt(variance + epsilon) of the calibration set,
 *   y = gamma (z - mu) / sigma + beta
 * equals z for gamma = sigma, beta = mu, so the function stays the same. The convolution's bias
 * moves into mu. Training then learns gamma and beta and normalizes by batches; the rewrite
 * `fold-batchnorm` folds everything back.
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
