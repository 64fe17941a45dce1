/** @file int8 from any form: a weight that is computed when the model loads is rounded there as well. */
import { dtypes } from "../ir/dtype.ts";
import type { Value } from "../ir/graph.ts";
import { tensor } from "../ir/tensor.ts";
import type { Builder } from "../ops/builder.ts";
import type { Shape } from "../weights/form.ts";

/** Nodes only: nothing is stored, the engine folds all of it when it loads the model. */
export interface Rounded {
  /** int8, of the weight's shape. */
  readonly levels: Value;
  /** float32 [channels] */
  readonly scale: Value;
  /** int8 [channels], all 0. */
  readonly zeroPoint: Value;
}

/** A channel of zeros has some scale, too. */
const LEAST = 2 ** -100;

/**
 * q = round(W / s), s_c = max |W_c| / (2^(bits-1) - 1) for each channel c of `axis`: as kernels of signed
 * weights want it (DESIGN 1b), whatever nodes compute W [shape].
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

/** b = s_x s_w q with q int32, for each channel, rounded when the model loads. */
export function roundBiasInGraph(g: Builder, bias: Value, input: number, scale: Value): Value {
  const step = g.Mul(scale, g.constant(input, { name: "input_scale" }));
  const levels = g.Cast(g.Round(g.Div(bias, step)), { to: dtypes.int32.code });
  return g.DequantizeLinear(levels, step, { axis: 0 });
}
