/** @file Activation functions: y = f(x) with attributes. */

import type { Node } from "../../ir/graph.ts";
import { tensor } from "../../ir/tensor.ts";
import { erf } from "../../numeric/erf.ts";
import { broadcastPositions, type EvaluateRule, type EvaluateRules } from "./elements.ts";

/** An elementwise rule; `make` gets the node for its attributes and returns f. */
function activation(make: (node: Node) => (x: number) => number): EvaluateRule {
  return ([x], node) => tensor(x.dtype, x.shape, Float64Array.from(x.numbers(), make(node)));
}

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const clamp01 = (x: number): number => Math.min(1, Math.max(0, x));

/** x Phi(x), or its tanh approximation (Hendrycks, Gimpel 2016, arXiv 1606.08415). */
function gelu(approximate: string): (x: number) => number {
  return approximate === "tanh"
    ? (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
    : (x) => 0.5 * x * (1 + erf(x / Math.SQRT2));
}

/** y = x for x >= 0, slope x below; slope is broadcast to x. */
const prelu: EvaluateRule = ([x, slope]) => {
  const [values, slopes] = [x.numbers(), slope.numbers()];
  const at = broadcastPositions(slope.shape, x.shape);
  return tensor(
    x.dtype,
    x.shape,
    Float64Array.from(values, (v, i) => (v < 0 ? v * slopes[at[i]] : v)),
  );
};

export const activations = {
  // max(0, x) + min(0, a (e^(x / a) - 1))
  Celu: activation((node) => {
    const a = node.float("alpha", 1);
    return (x) => Math.max(0, x) + Math.min(0, a * Math.expm1(x / a));
  }),
  // a (e^x - 1) below 0
  Elu: activation((node) => {
    const a = node.float("alpha", 1);
    return (x) => (x < 0 ? a * Math.expm1(x) : x);
  }),
  Erf: activation(() => erf),
  Gelu: activation((node) => gelu(node.text("approximate", "none"))),
  // clip(a x + b, 0, 1)
  HardSigmoid: activation((node) => {
    const [a, b] = [node.float("alpha", 0.2), node.float("beta", 0.5)];
    return (x) => clamp01(a * x + b);
  }),
  // x clip(x / 6 + 1/2, 0, 1)
  HardSwish: activation(() => (x) => x * clamp01(x / 6 + 0.5)),
  LeakyRelu: activation((node) => {
    const a = node.float("alpha", 0.01);
    return (x) => (x < 0 ? a * x : x);
  }),
  // x tanh(ln(1 + e^x))
  Mish: activation(() => (x) => x * Math.tanh(softplus(x))),
  PRelu: prelu,
  Relu: activation(() => (x) => Math.max(x, 0)),
  // gamma x above 0, gamma alpha (e^x - 1) below
  Selu: activation((node) => {
    const [a, g] = [node.float("alpha", 1.6732632), node.float("gamma", 1.050701)];
    return (x) => g * (x < 0 ? a * Math.expm1(x) : x);
  }),
  // x + bias below -lambda, x - bias above lambda, 0 in between
  Shrink: activation((node) => {
    const [bias, lambda] = [node.float("bias", 0), node.float("lambd", 0.5)];
    return (x) => (x < -lambda ? x + bias : x > lambda ? x - bias : 0);
  }),
  Sigmoid: activation(() => sigmoid),
  Softplus: activation(() => softplus),
  Softsign: activation(() => (x) => x / (1 + Math.abs(x))),
  // x sigmoid(alpha x)
  Swish: activation((node) => {
    const a = node.float("alpha", 1);
    return (x) => x * sigmoid(a * x);
  }),
  Tanh: activation(() => Math.tanh),
  ThresholdedRelu: activation((node) => {
    const a = node.float("alpha", 1);
    return (x) => (x > a ? x : 0);
  }),
} satisfies EvaluateRules;
