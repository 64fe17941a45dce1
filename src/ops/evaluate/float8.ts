/** @file The 8- and 4-bit floats: sign, exponent and mantissa bits to numbers and back. */
import type { DType } from "../../ir/dtype.ts";
import { rawTensor, type Tensor, tensor } from "../../ir/tensor.ts";

/** The bits of a format; a number is (-1)^sign 2^(e - bias) (1 + m / 2^mantissa). */
interface Format {
  readonly exponent: number;
  readonly mantissa: number;
  readonly bias: number;
  /**
   * Which codes are not finite: those of IEEE 754, only the last one, the code of
   * minus zero, or none.
   */
  readonly special: "ieee" | "last" | "negative-zero" | "none";
}

/** Micikevicius et al. 2022, arXiv 2209.05433; fnuz: Noune et al. 2022, arXiv 2206.02915. */
const formats: { readonly [K in DType]?: Format } = {
  float8e4m3fn: { exponent: 4, mantissa: 3, bias: 7, special: "last" },
  float8e4m3fnuz: { exponent: 4, mantissa: 3, bias: 8, special: "negative-zero" },
  float8e5m2: { exponent: 5, mantissa: 2, bias: 15, special: "ieee" },
  float8e5m2fnuz: { exponent: 5, mantissa: 2, bias: 16, special: "negative-zero" },
  float4e2m1: { exponent: 2, mantissa: 1, bias: 1, special: "none" },
};

export function isFloat8(dtype: DType): boolean {
  return dtype in formats;
}

function decode(code: number, format: Format): number {
  const { exponent, mantissa, bias, special } = format;
  const width = exponent + mantissa;
  const sign = code >> width ? -1 : 1;
  const magnitude = code & ((1 << width) - 1);
  const e = magnitude >> mantissa;
  const m = magnitude & ((1 << mantissa) - 1);
  if (special === "negative-zero" && sign < 0 && magnitude === 0) return Number.NaN;
  if (special === "last" && magnitude === (1 << width) - 1) return Number.NaN;
  if (special === "ieee" && e === (1 << exponent) - 1) return m ? Number.NaN : sign * Infinity;
  const unit = 2 ** -mantissa;
  return e === 0 ? sign * m * unit * 2 ** (1 - bias) : sign * (1 + m * unit) * 2 ** (e - bias);
}

function codesOf(x: Tensor): Uint8Array {
  const bytes = x.bytes();
  if (x.dtype !== "float4e2m1") return bytes;
  return Uint8Array.from({ length: x.size }, (_, i) => (bytes[i >> 1] >> (4 * (i & 1))) & 15);
}

export function decodeFloat8(x: Tensor): Tensor {
  const format = formats[x.dtype] as Format;
  return tensor(
    "float32",
    x.shape,
    Float32Array.from(codesOf(x), (code) => decode(code, format)),
  );
}

/**
 * The nearest code, ties to the even one. Numbers beyond the largest finite one become that one if
 * `saturate`, otherwise infinity or NaN.
 */
export function encodeFloat8(x: Tensor, dtype: DType, saturate: boolean): Tensor {
  const format = formats[dtype] as Format;
  const codes = Array.from(x.numbers(), encoder(format, saturate));
  if (dtype !== "float4e2m1") return rawTensor(dtype, x.shape, Uint8Array.from(codes));
  const bytes = new Uint8Array(Math.ceil(codes.length / 2));
  for (const [i, code] of codes.entries()) bytes[i >> 1] |= code << (4 * (i & 1));
  return rawTensor(dtype, x.shape, bytes);
}

function encoder(format: Format, saturate: boolean): (value: number) => number {
  const { exponent, mantissa, special } = format;
  const signBit = 1 << (exponent + mantissa);
  const ladder = Array.from({ length: signBit }, (_, code) => decode(code, format));
  const finite = ladder.filter(Number.isFinite);
  const last = finite.length - 1;
  const limit = finite[last] + (finite[last] - finite[last - 1]) / 2;
  const infinity = special === "ieee" ? last + 1 : null;
  // The format's only NaN, a quiet NaN, or minus zero if there is none, as hardware gives.
  const nan =
    special === "last"
      ? signBit - 1
      : infinity === null
        ? signBit
        : infinity + (1 << (mantissa - 1));
  return (value) => {
    const sign = value < 0 || Object.is(value, -0) ? signBit : 0;
    if (Number.isNaN(value)) return nan;
    const size = Math.abs(value);
    if (size >= limit) {
      if (saturate || special === "none") return sign + last;
      return infinity !== null ? sign + infinity : special === "last" ? sign + nan : nan;
    }
    const above = finite.findIndex((number) => number >= size);
    const code = above < 0 ? last : above === 0 ? 0 : nearer(size, above, finite);
    return code === 0 && special === "negative-zero" ? 0 : sign + code;
  };
}

function nearer(size: number, above: number, finite: readonly number[]): number {
  const [down, up] = [size - finite[above - 1], finite[above] - size];
  return down < up || (down === up && above % 2 === 1) ? above - 1 : above;
}
