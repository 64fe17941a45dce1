/** @file Weights in int8 and biases in int32, in whatever form the file stores the weights. */

import type { Context } from "../context.ts";
import type { Node, Value } from "../ir/graph.ts";
import { type QuantParams, roundHalfEven } from "../numeric/quantize.ts";
import { type Builder, build } from "../ops/builder.ts";
import { wantsIntegerBias } from "../ops/int8.ts";
import { biasOf } from "../ops/weights.ts";
import { isElementwise, toInt8 } from "../weights/elements.ts";
import { expand } from "../weights/expand.ts";
import { integers } from "../weights/form.ts";
import { readWeight } from "../weights/read.ts";
import type { FloatWeight } from "../weights/weight.ts";
import { type ChannelMeans, correctBias } from "./bias-correction.ts";
import { scalesForBias, zeroDeadChannels } from "./dead-channels.ts";
import { type Int8Layer, type Plan, rootOf } from "./plan.ts";
import { roundBiasInGraph, roundInGraph } from "./rounded.ts";

interface Rounding {
  readonly scale: "minmax" | "mse";
  readonly reduceRange: boolean;
}

/** What DequantizeLinear makes of the levels, and with which scales. */
interface Dequantized {
  readonly value: Value;
  readonly scale: Float32Array | Value;
}

/** What an integer kernel reads. */
const INT8 = integers("int8", -128, 127);

/** Weight -> int8 levels -> DequantizeLinear, for every layer of the plan. */
export function quantizeLayers(
  plan: Plan,
  params: ReadonlyMap<Value, QuantParams>,
  means: ReadonlyMap<Node, ChannelMeans>,
  options: Rounding,
  context: Context,
): void {
  const done = new Map<Value, Dequantized>();
  for (const layer of plan.layers) {
    const { node, weightIndex, role } = layer;
    const value = node.inputs[weightIndex] as Value;
    const weight = readWeight(value);
    if (!weight) throw new Error(`${node.name} lost its weight`);
    const input = params.get(rootOf(node.inputs[layer.inputIndex] as Value))?.scale ?? null;
    const g = build(node.graph, value.name || node.name);
    const dequantized =
      done.get(value) ??
      (isElementwise(weight)
        ? dequantize(g, layer, weight, input, options)
        : dequantizeComputed(g, value, layer, weight, options));
    done.set(value, dequantized);
    node.setInput(weightIndex, dequantized.value);
    const rounded = readWeight(dequantized.value);
    const mean = means.get(node);
    if (rounded && mean) correctBias(node, role, weight, rounded.values, mean);
    else if (!biasOf(node) && means.size > 0)
      context.warn(`${node.name}: its bias was not corrected`);
    if (input !== null) quantizeBias(node, input, dequantized.scale);
  }
  for (const value of done.keys()) {
    if (value.tensor && value.uses.size === 0) value.graph.removeConstant(value);
  }
}

function dequantize(
  g: Builder,
  { node, role }: Int8Layer,
  weight: FloatWeight,
  input: number | null,
  options: Rounding,
): Dequantized {
  const bias = biasOf(node)?.tensor?.floats();
  const steps = input !== null && bias ? { input, bias } : null;
  const alive = steps ? zeroDeadChannels(weight, role.outputAxis, steps) : weight;
  const rounding = { bits: options.reduceRange ? 7 : 8, search: options.scale };
  const { levels: stored, scale, axis } = toInt8(alive, role.outputAxis, rounding);
  const levels = expand(g, stored, INT8);
  const scales = steps && axis !== null ? scalesForBias(scale, alive, axis, steps) : scale;
  const shape = axis === null ? [] : [scales.length];
  // ONNX Runtime makes no QGemm of weights whose zero point is left out.
  const zeros = g.constant(new Int8Array(scales.length), {
    dtype: "int8",
    shape,
    name: "zero_point",
  });
  const s = g.constant(scales, { shape, name: "scale" });
  const value = g.DequantizeLinear(levels, s, zeros, ...(axis === null ? [] : [{ axis }]));
  return { value, scale: scales };
}

/** A weight that no part has the elements of: its form stays, and what it computes is rounded. */
function dequantizeComputed(
  g: Builder,
  value: Value,
  { role: { outputAxis: axis } }: Int8Layer,
  { shape }: FloatWeight,
  { reduceRange }: Rounding,
): Dequantized {
  const { levels, scale, zeroPoint } = roundInGraph(g, value, shape, axis, reduceRange ? 7 : 8);
  return { value: g.DequantizeLinear(levels, scale, zeroPoint, { axis }), scale };
}

/**
 * b = s_x s_w q, q int32: the step of the integer accumulator. A Gemm with a float bias and a float
 * output is not fused; a Conv's bias the engine rounds itself, and the file is smaller.
 */
function quantizeBias(node: Node, input: number, scale: Float32Array | Value): void {
  const old = wantsIntegerBias(node) ? biasOf(node) : null;
  if (old?.tensor?.shape.length !== 1) return;
  const g = build(node.graph, old.name || node.name);
  if (!(scale instanceof Float32Array)) {
    node.setInput(2, roundBiasInGraph(g, old, input, scale));
    return;
  }
  const bias = old.tensor.floats();
  const steps = Float32Array.from(bias, (_, c) => Math.fround(input * scale[c % scale.length]));
  const limit = 2 ** 31 - 1;
  const levels = Int32Array.from(bias, (b, c) =>
    Math.max(-limit, Math.min(limit, roundHalfEven(b / steps[c]))),
  );
  const q = g.constant(levels, { dtype: "int32", name: "levels" });
  const step = g.constant(scale.length === 1 ? steps.subarray(0, 1) : steps, {
    shape: scale.length === 1 ? [] : [steps.length],
    name: "scale",
  });
  const attributes = scale.length === 1 ? [] : [{ axis: 0 }];
  node.setInput(2, g.DequantizeLinear(q, step, ...attributes));
  if (old.uses.size === 0) old.graph.removeConstant(old);
}
