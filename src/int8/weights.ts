/** @file Rounds weights to int8 and biases to int32, whatever form the weights are stored in. */

import type { Context } from "../context.ts";
import type { Node, Value } from "../ir/graph.ts";
import { roundHalfEven } from "../numeric/level.ts";
import type { QuantParams } from "../numeric/quantize.ts";
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

/** How weights are rounded. */
export interface WeightRounding {
  readonly scale: "minmax" | "mse";
  /** Whether a layer's weights get 7 bits, for processors whose int8 sums saturate. */
  reducesRange(node: Node): boolean;
}

/** What a layer reads in place of its weight: the output of DequantizeLinear, with its scales. */
interface Dequantized {
  readonly value: Value;
  readonly scale: Float32Array | Value;
}

/** What an integer kernel reads: whole numbers of int8. */
const INT8 = integers("int8", -128, 127);

/**
 * Replaces the weight of every layer of the plan by int8 levels -> DequantizeLinear, corrects
 * biases where `means` are given, and rounds those biases that the kernels need as integers. A
 * weight that several layers share is rounded once.
 */
export function quantizeLayers(
  plan: Plan,
  params: ReadonlyMap<Value, QuantParams>,
  means: ReadonlyMap<Node, ChannelMeans>,
  options: WeightRounding,
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

/**
 * A weight that stores one number per element: its levels in int8, still in the form that fits them
 * (a codebook keeps its indices).
 */
function dequantize(
  g: Builder,
  { node, role }: Int8Layer,
  weight: FloatWeight,
  input: number | null,
  options: WeightRounding,
): Dequantized {
  const bias = biasOf(node)?.tensor?.floats();
  const steps = input !== null && bias ? { input, bias } : null;
  const alive = steps ? zeroDeadChannels(weight, role.outputAxis, steps) : weight;
  const rounding = { bits: options.reducesRange(node) ? 7 : 8, search: options.scale };
  const { levels: stored, scale, axis } = toInt8(alive, role.outputAxis, rounding);
  const levels = expand(g, stored, INT8);
  const scales = steps && axis !== null ? scalesForBias(scale, alive, axis, steps) : scale;
  const shape = axis === null ? [] : [scales.length];
  // ONNX Runtime makes no QGemm of a weight whose zero point is left out, even though it is 0.
  const zeros = g.constant(new Int8Array(scales.length), {
    dtype: "int8",
    shape,
    name: "zero_point",
  });
  const s = g.constant(scales, { shape, name: "scale" });
  const value = g.DequantizeLinear(levels, s, zeros, ...(axis === null ? [] : [{ axis }]));
  return { value, scale: scales };
}

/**
 * A weight whose form stores no number per element, such as a Kronecker product: the form stays in
 * the file, and nodes round what it computes.
 */
function dequantizeComputed(
  g: Builder,
  value: Value,
  { node, role: { outputAxis: axis } }: Int8Layer,
  { shape }: FloatWeight,
  { reducesRange }: WeightRounding,
): Dequantized {
  const { levels, scale, zeroPoint } = roundInGraph(
    g,
    value,
    shape,
    axis,
    reducesRange(node) ? 7 : 8,
  );
  return { value: g.DequantizeLinear(levels, scale, zeroPoint, { axis }), scale };
}

/**
 * Stores the bias as b = s_x s_w q with q int32, in steps of the kernel's integer sums: a Gemm with
 * a float output is fused only with such a bias. The engine rounds the bias of a Conv itself, and
 * the file is smaller if it stays float.
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
