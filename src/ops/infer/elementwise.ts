/** @file Shapes of elementwise operators, and of others that keep the shape of their input. */
import { activations } from "../evaluate/activation.ts";
import { elementwise } from "../evaluate/elementwise.ts";
import type { OpName } from "../schema.ts";
import { broadcastDims, type InferRule, type InferRules, sameShape } from "./dims.ts";

/** The inputs' shapes, broadcast. */
const broadcast: InferRule = (node) => [
  broadcastDims(node.inputs.filter((input) => input !== null).map((input) => input.shape)),
];

/** Operators whose outputs have the shape of their first input. */
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
