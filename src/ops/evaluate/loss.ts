/** @file Evaluation of classification losses, and of dropout at inference. */

import type { Node } from "../../ir/graph.ts";
import { type Tensor, tensor } from "../../ir/tensor.ts";
import { doubles, type EvaluateRule, type EvaluateRules, optional, product } from "./elements.ts";
import { logSoftmax } from "./normalize.ts";

/**
 * -w[t] logp[n, t] for target t; the mean is weighted by w. Targets equal to
 * `ignore_index` do not count.
 */
function nll(
  logs: Float64Array,
  shape: readonly number[],
  target: Tensor,
  weight: Tensor | null,
  node: Node,
  dtype: Tensor["dtype"],
): Tensor {
  const [classes, area] = [shape[1], product(shape.slice(2))];
  const [labels, weights] = [target.numbers(), weight?.numbers()];
  const ignored = node.int("ignore_index");
  let [sum, total] = [0, 0];
  const each = Float64Array.from(labels, (label, i) => {
    if (label === ignored) return 0;
    const w = weights?.[label] ?? 1;
    const [n, p] = [Math.floor(i / area), i % area];
    const loss = -w * logs[(n * classes + label) * area + p];
    sum += loss;
    total += w;
    return loss;
  });
  const reduction = node.text("reduction", "mean");
  if (reduction === "none") return tensor(dtype, target.shape, each);
  return tensor(dtype, [], reduction === "sum" ? sum : sum / total);
}

const negativeLogLikelihood: EvaluateRule = (inputs, node) => {
  const [x, target] = inputs;
  return nll(doubles(x), x.shape, target, optional(inputs, 2), node, x.dtype);
};

/** The loss of softmax scores [N, C, ...], and the logarithms of the softmax. */
const softmaxCrossEntropy: EvaluateRule = (inputs, node) => {
  const [x, target] = inputs;
  const logs = doubles(x);
  logSoftmax(logs, x.shape, 1);
  return [
    nll(logs, x.shape, target, optional(inputs, 2), node, x.dtype),
    tensor(x.dtype, x.shape, logs),
  ];
};

/** Only what involves no random numbers: inference, or a ratio of 0. */
const dropout: EvaluateRule = (inputs) => {
  const [x] = inputs;
  const ratio = optional(inputs, 1)?.numbers()[0] ?? 0.5;
  const isTraining = (optional(inputs, 2)?.numbers()[0] ?? 0) !== 0;
  if (isTraining && ratio !== 0) return null;
  return [x, tensor("bool", x.shape, new Uint8Array(x.size).fill(1))];
};

export const losses = {
  Dropout: dropout,
  NegativeLogLikelihoodLoss: negativeLogLikelihood,
  SoftmaxCrossEntropyLoss: softmaxCrossEntropy,
} satisfies EvaluateRules;
