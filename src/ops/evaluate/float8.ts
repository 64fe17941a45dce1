/** @file The 8- and 4-bit floats: sign, exponent and mantissa bits to numbers and back. */
import type { DType } from "../../ir/dtype.ts";
import { rawTensor, type Tensor, tensor } from "../../ir/tensor.ts";

interface Format {
  readonly exponent: number;
  readonly mantissa: number;
  readonly bias: number;
  /** Codes of the largest exponent that are not numbers: "ieee" all of them, "one" only the last. */
  readonly special: "ieee" | "last" | "negative-zero" | "none";
}

/** Micikevicius et al. 2022 (arXiv 2209.05433); fnuz: Noune et al. 2022 (arXiv 2206.02915). */
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

/** The nearest code, ties to the even one; beyond the largest: that one if `saturate`, else infinity or NaN. */
export function encodeFloat8(x: Tensor, dtype: DType, saturate: boolean): Tensor {
  const format = formats[dtype] as Format;
  const count = 1 << (format.exponent + format.mantissa);
  const ladder = Array.from({ length: count }, (_, code) => decode(code, format));
  const finite = ladder.filter(Number.isFinite);
  const largest = finite.length - 1;
  const codes = Array.from(x.numbers(), (value) =>
    encode(value, format, finite, largest, count, saturate || format.special === "none"),
  );
  if (dtype !== "float4e2m1") return rawTensor(dtype, x.shape, Uint8Array.from(codes));
  const bytes = new Uint8Array(Math.ceil(codes.length / 2));
  for (const [i, code] of codes.entries()) bytes[i >> 1] |= code << (4 * (i & 1));
  return rawTensor(dtype, x.shape, bytes);
}

function encode(
  value: number,
  format: Format,
  finite: readonly number[],
  largest: number,
  count: number,
  saturate: boolean,
): number {
  const sign = value < 0 || Object.is(value, -0) ? count : 0;
  const nan = format.special === "negative-zero" ? count : sign + count - 1;
  if (Number.isNaN(value)) return format.special === "negative-zero" ? count : sign + count - 1;
  const size = Math.abs(value);
  const step = finite[largest] - finite[largest - 1];
  if (size >= finite[largest] + step / 2 || size === Infinity) {
    if (saturate && size !== Infinity) return sign + largest;
    if (saturate) return sign + largest;
    return format.special === "ieee" ? sign + largest + 1 : nan;
  }
  let code = finite.findIndex((number) => number >= size);
  if (code < 0) code = largest;
  if (code > 0) {
    const [below, above] = [size - finite[code - 1], finite[code] - size];
    if (below < above || (below === above && code % 2 === 1)) code--;
  }
  return code === 0 && format.special === "negative-zero" ? 0 : sign + code;
}
