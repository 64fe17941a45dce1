/** @file Writes a plan of int8 into the graph: weights, activations, and what integers pass through. */
import type { Context } from "../context.ts";
import type { Node, Value } from "../ir/graph.ts";
import type { QuantParams } from "../numeric/quantize.ts";
import { carryIntegers, integerNodes, roundActivation } from "./activations.ts";
import type { ChannelMeans } from "./bias-correction.ts";
import type { Plan } from "./plan.ts";
import { quantizeLayers, type WeightRounding } from "./weights.ts";

/**
 * Rounds the weights of the plan's layers, as `rounding` says, and its activations by `params`, so
 * that the engine finds its integer kernels. Biases are corrected where `means` are given.
 */
export function computeOnIntegers(
  plan: Plan,
  params: ReadonlyMap<Value, QuantParams>,
  means: ReadonlyMap<Node, ChannelMeans>,
  rounding: WeightRounding,
  context: Context,
): void {
  quantizeLayers(plan, params, means, rounding, context);
  const integer = integerNodes(plan);
  for (const [value, { absorbed }] of plan.values) {
    roundActivation(value, absorbed, params.get(value) as QuantParams, integer);
  }
  carryIntegers(plan);
}
