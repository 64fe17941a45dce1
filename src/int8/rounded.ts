/** @file Rounds to int8 by nodes a weight that the engine computes when it loads the model. */
import { dtypes } from "../ir/dtype.ts";
import type { Value } from "../ir/graph.ts";
import { tensor } from "../ir/tensor.ts";
import type { Builder } from "../ops/builder.ts";
import type { Shape } from "../weights/form.ts";

/**
 * Values of the graph that hold a rounded weight. Only nodes are added to the file; the engine
 * folds them when it loads the model.
 */
export interface Rounded {
  /** int8, of the weight's shape. */
  readonly levels: Value;
  /** float32 [channels] */
  readonly scale: Value;
  /** int8 [channels], all 0. */
  readonly zeroPoint: Value;
}

/** The least scale: a channel of zeros gets it instead of 0. */
const LEAST = 2 ** -100;

/**
 * Adds the nodes that round `weight` [shape] to `bits` bits, symmetric, per channel c of `axis`:
 *   s_c = max |W_c| / (2^(bits - 1) - 1),  q = round(W / s)
 * whatever nodes compute W. The zero point 0 is given explicitly, since the engine's kernels need
 * it.
 */
export function roundInGraph(
  g: Builder,
  weight: Value,
  shape: Shape,
  axis: number,
  bits: number,
): Rounded {
  const others = shape.flatMap((_, i) => (i === axis ? [] : [i]));
  const largest = g.ReduceMax(g.Abs(weight), g.ints(others, "axes"), { keepdims: 0 });
  const top = g.constant(2 ** (bits - 1) - 1, { name: "top" });
  const scale = g.Max(g.Div(largest, top), g.constant(LEAST, { name: "least" }));
  const zero = tensor("int8", [1], [0]);
  const zeroPoint = g.ConstantOfShape(g.ints([shape[axis]], "shape"), { value: zero });
  const levels = g.QuantizeLinear(weight, scale, zeroPoint, { axis });
  for (const [value, dtype] of [
    [levels, "int8"],
    [scale, "float32"],
    [zeroPoint, "int8"],
  ] as const) {
    value.dtype = dtype;
    value.shape = value === levels ? shape : [shape[axis]];
  }
  return { levels, scale, zeroPoint };
}

/**
 * The bias as DequantizeLinear(q) with int32 levels q = round(b / (s_x s_w)) per channel, `input`
 * being s_x and `scale` s_w; the engine rounds it when it loads the model.
 */
export function roundBiasInGraph(g: Builder, bias: Value, input: number, scale: Value): Value {
  const step = g.Mul(scale, g.constant(input, { name: "input_scale" }));
  const levels = g.Cast(g.Round(g.Div(bias, step)), { to: dtypes.int32.code });
  return g.DequantizeLinear(levels, step, { axis: 0 });
}
