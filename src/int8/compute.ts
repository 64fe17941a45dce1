/** @file Writes a plan of int8 into the graph: weights, activations, and what integers pass through. */
import type { Context } from "../context.ts";
import type { Node, Value } from "../ir/graph.ts";
import type { QuantParams } from "../numeric/quantize.ts";
import { build } from "../ops/builder.ts";
import { integerActivationOf, type Levels } from "../ops/int8-activations.ts";
import { carryIntegers, closeAtBodies, integerNodes, roundActivation } from "./activations.ts";
import type { ChannelMeans } from "./bias-correction.ts";
import { formed, type Plan, type Rounding } from "./plan.ts";
import { quantizeLayers, type WeightRounding } from "./weights.ts";

/** Scale and zero point of each value of the plan: those that an activation fixes, or `paramsOf`. */
export function roundingParams(
  { values }: Plan,
  paramsOf: (value: Value, rounding: Rounding) => QuantParams | undefined,
): Map<Value, QuantParams> {
  return new Map(
    [...values].flatMap(([value, rounding]) => {
      const params = rounding.levels ?? paramsOf(value, rounding);
      return params ? [[value, params] as const] : [];
    }),
  );
}

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
  for (const node of formed(plan.others)) computeOnLevels(node);
  carryIntegers(plan);
  closeAtBodies(plan);
}

/**
 * Replaces an activation between DequantizeLinear and QuantizeLinear by its integer form:
 *   q -> DequantizeLinear -> f -> QuantizeLinear -> q'  becomes  q -> form -> q'
 */
function computeOnLevels(node: Node): void {
  const form = integerActivationOf(node);
  const [x] = node.inputs;
  const [last] = node.output.consumers;
  if (!form || !x?.producer || !last) throw new Error(`${node.name} is not between levels`);
  const levels = form.levels(
    build(node.graph, node.name),
    levelsOf(x.producer),
    paramsOf(last),
    node,
  );
  const { graph } = node;
  graph.replace(last.output, levels);
  graph.remove(last);
  graph.remove(node);
}

/** What a DequantizeLinear reads. */
function levelsOf(node: Node): Levels {
  return { q: node.inputs[0] as Value, ...paramsOf(node) };
}

/** Scale and zero point of a QuantizeLinear or DequantizeLinear. */
function paramsOf({ inputs: [, scale, zeroPoint] }: Node): QuantParams {
  return {
    scale: scale?.tensor?.floats()[0] as number,
    zeroPoint: Number(zeroPoint?.tensor?.numbers()[0]),
  };
}
