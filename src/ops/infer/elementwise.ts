/** @file Shapes of operators on each element, and of all others that keep their input's shape. */
import { activations } from "../evaluate/activation.ts";
import { elementwise } from "../evaluate/elementwise.ts";
import type { OpName } from "../schema.ts";
import { broadcastDims, type InferRule, type InferRules, sameShape } from "./dims.ts";

const broadcast: InferRule = (node) => [
  broadcastDims(node.inputs.filter((input) => input !== null).map((input) => input.shape)),
];

const keepers = [
  "Bernoulli",
  "Cast",
  "CastLike",
  "CumSum",
  "DequantizeLinear",
  "Dropout",
  "EyeLike",
  "GroupNormalization",
  "Hardmax",
  "Identity",
  "InstanceNormalization",
  "LRN",
  "LogSoftmax",
  "LpNormalization",
  "MeanVarianceNormalization",
  "QuantizeLinear",
  "RMSNormalization",
  "RandomNormalLike",
  "RandomUniformLike",
  "ReverseSequence",
  "RotaryEmbedding",
  "ScatterElements",
  "ScatterND",
  "Softmax",
  "TensorScatter",
  "Trilu",
] as const satisfies readonly OpName[];

export const inferElementwise: InferRules = {
  ...Object.fromEntries(
    [...Object.keys(elementwise), ...Object.keys(activations)].map((op) => [op, broadcast]),
  ),
  ...Object.fromEntries(keepers.map((op) => [op, sameShape])),
};
