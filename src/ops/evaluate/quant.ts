/** @file Evaluation of quantization: conversion to and from integers, and integer products. */
import { type DType, dtypeOfCode, dtypes } from "../../ir/dtype.ts";
import { type Tensor, tensor } from "../../ir/tensor.ts";
import { cast } from "./cast.ts";
import { convolve } from "./conv.ts";
import {
  axisOf,
  type EvaluateRule,
  type EvaluateRules,
  eachCoordinate,
  optional,
  product,
  type Shape,
  stridesOf,
} from "./elements.ts";
import { roundEven } from "./elementwise.ts";
import { encodeFloat8, isFloat8 } from "./float8.ts";
import { type Array64, matMul } from "./linear.ts";

/** The smallest and the largest value of an integer type. */
export function rangeOf(dtype: DType): [number, number] {
  const { bits } = dtypes[dtype];
  return dtype.startsWith("u") ? [0, 2 ** bits - 1] : [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
}

function saturate(x: number, [low, high]: readonly [number, number]): number {
  return Math.min(high, Math.max(low, x));
}

/**
 * The position of the scale of each element: one scale for all, one per index of `axis`, or one per
 * `blockSize` indices of it (the scale then has the rank of x).
 */
export function scalePositions(
  shape: Shape,
  scale: Shape,
  axis: number,
  blockSize: number,
): Int32Array {
  const result = new Int32Array(product(shape));
  if (product(scale) === 1) return result;
  const along = axisOf(axis, shape.length);
  const strides = stridesOf(scale);
  eachCoordinate(shape, (at, flat) => {
    result[flat] =
      scale.length === 1 && blockSize === 0
        ? at[along]
        : at.reduce(
            (sum, c, i) => sum + (i === along ? Math.floor(c / blockSize) : c) * strides[i],
            0,
          );
  });
  return result;
}

/** q = saturate(round(x / scale) + zero point). */
const quantize: EvaluateRule = (inputs, node) => {
  const [x, scale] = inputs;
  const zero = optional(inputs, 2);
  const dtype = zero?.dtype ?? dtypeOfCode(node.int("output_dtype", 0)) ?? "uint8";
  const at = scalePositions(x.shape, scale.shape, node.int("axis", 1), node.int("block_size", 0));
  const [values, scales] = [x.numbers(), scale.numbers()];
  const scaled = Float64Array.from(values, (v, i) => v / scales[at[i]]);
  if (isFloat8(dtype)) {
    return encodeFloat8(tensor("float64", x.shape, scaled), dtype, node.int("saturate", 1) === 1);
  }
  const range = rangeOf(dtype);
  const zeros = zero?.numbers();
  // The quotient is rounded to the precision of x first, so that the same values are halfway cases.
  const round = (v: number): number => roundEven(x.dtype === "float32" ? Math.fround(v) : v);
  return tensor(
    dtype,
    x.shape,
    scaled.map((v, i) => saturate(round(v) + (zeros?.[at[i]] ?? 0), range)),
  );
};

/** x = (q - zero point) * scale. */
const dequantize: EvaluateRule = (inputs, node) => {
  const [y, scale] = inputs;
  const zero = optional(inputs, 2);
  const at = scalePositions(y.shape, scale.shape, node.int("axis", 1), node.int("block_size", 0));
  const values = (cast(y, "float32") as Tensor).numbers();
  const [scales, zeros] = [scale.numbers(), zero && !isFloat8(zero.dtype) ? zero.numbers() : null];
  const dtype = dtypeOfCode(node.int("output_dtype", 0)) ?? scale.dtype;
  return tensor(
    dtype,
    y.shape,
    Float64Array.from(values, (v, i) => (v - (zeros?.[at[i]] ?? 0)) * scales[at[i]]),
  );
};

/** Rounds to uint8 over the range of x, which always includes 0: scale = (max - min) / 255. */
const dynamicQuantize: EvaluateRule = ([x]) => {
  const values = x.numbers();
  let [low, high] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    low = Math.min(low, values[i]);
    high = Math.max(high, values[i]);
  }
  const scale = Math.fround(Math.fround(high - low) / 255);
  const zero = scale === 0 ? 0 : saturate(roundEven(Math.fround(-low / scale)), [0, 255]);
  const codes = Float64Array.from(values, (v) =>
    saturate(scale === 0 ? zero : roundEven(Math.fround(v / scale)) + zero, [0, 255]),
  );
  return [tensor("uint8", x.shape, codes), tensor("float32", [], scale), tensor("uint8", [], zero)];
};

/** Integers minus their zero point: one for all, or one per index of `axis`. */
function centered(x: Tensor, zero: Tensor | null, axis: number): Array64 {
  const values = x.numbers();
  if (!zero) return { shape: x.shape, values };
  const zeros = zero.numbers();
  // Zero points per row of a batch of matrices have the rank of the matrices.
  const flat = zero.size === 1 || zero.shape.length === 1;
  const strides = stridesOf(zero.shape);
  const results = new Float64Array(x.size);
  eachCoordinate(x.shape, (at, i) => {
    const k = flat
      ? zero.size === 1
        ? 0
        : at[axis]
      : at.reduce((sum, c, d) => sum + (zero.shape[d] === 1 ? 0 : c) * strides[d], 0);
    results[i] = values[i] - zeros[k];
  });
  return { shape: x.shape, values: results };
}

const convInteger: EvaluateRule = (inputs, node) => {
  const [x, w] = inputs;
  const left = centered(x, optional(inputs, 2), 1);
  const y = convolve(left, centered(w, optional(inputs, 3), 0), node);
  return tensor("int32", y.shape, y.values);
};

const matMulInteger: EvaluateRule = (inputs, node) => {
  const [a, b] = inputs;
  const left = centered(a, optional(inputs, 2), a.shape.length - 2);
  const right = centered(b, optional(inputs, 3), b.shape.length - 1);
  const { shape, values } = matMul(left, right, node.name);
  return tensor("int32", shape, Array.from(values));
};

/** saturate(round(sum * multiplier) + zero point). */
function requantize(sums: Array64, zero: Tensor, multiplier: (flat: number) => number): Tensor {
  const range = rangeOf(zero.dtype);
  const offset = zero.numbers()[0];
  return tensor(
    zero.dtype,
    sums.shape,
    Float64Array.from(sums.values, (v, i) =>
      saturate(roundEven(Math.fround(v * multiplier(i))) + offset, range),
    ),
  );
}

/**
 * Inputs: x, x's scale and zero point, w, w's scale and zero point, y's scale and zero
 * point, int32 bias.
 */
const qLinearConv: EvaluateRule = (inputs, node) => {
  const [x, xScale, xZero, w, wScale, wZero, yScale, yZero] = inputs;
  const y = convolve(centered(x, xZero, 1), centered(w, wZero, 0), node);
  const bias = optional(inputs, 8)?.numbers();
  const scales = wScale.numbers();
  const area = product(y.shape.slice(2));
  const channel = (flat: number): number => Math.floor(flat / area) % y.shape[1];
  if (bias) for (let i = 0; i < y.values.length; i++) y.values[i] += bias[channel(i)];
  const [from, to] = [xScale.numbers()[0], yScale.numbers()[0]];
  return requantize(y, yZero, (i) => (from * scales[scales.length === 1 ? 0 : channel(i)]) / to);
};

/** Inputs: a, its scale and zero point, b, its scale and zero point, y's scale and zero point. */
const qLinearMatMul: EvaluateRule = (inputs, node) => {
  const [a, aScale, aZero, b, bScale, bZero, yScale, yZero] = inputs;
  const left = centered(a, aZero, a.shape.length - 2);
  const right = centered(b, bZero, b.shape.length - 1);
  const y = matMul(left, right, node.name);
  const columns = y.shape.at(-1) ?? 1;
  const rows = y.shape.at(-2) ?? 1;
  const [as, bs, to] = [aScale.numbers(), bScale.numbers(), yScale.numbers()[0]];
  return requantize(y, yZero, (i) => {
    const row = as.length === 1 ? 0 : Math.floor(i / columns) % rows;
    return (as[row] * bs[bs.length === 1 ? 0 : i % columns]) / to;
  });
};

export const quantized = {
  ConvInteger: convInteger,
  DequantizeLinear: dequantize,
  DynamicQuantizeLinear: dynamicQuantize,
  MatMulInteger: matMulInteger,
  QLinearConv: qLinearConv,
  QLinearMatMul: qLinearMatMul,
  QuantizeLinear: quantize,
} satisfies EvaluateRules;
