/** @file Element types: ONNX names and codes, bits, and the typed array that holds the elements. */

/**
 * By name: `code` is ONNX's TensorProto.DataType, `bits` the bits of an element. Types below
 * 8 bits are packed, several in a byte, low bits first. `kind` is "opaque" for types that
 * tersor only copies.
 */
export const dtypes = {
  float32: { code: 1, bits: 32, kind: "float" },
  uint8: { code: 2, bits: 8, kind: "int" },
  int8: { code: 3, bits: 8, kind: "int" },
  uint16: { code: 4, bits: 16, kind: "int" },
  int16: { code: 5, bits: 16, kind: "int" },
  int32: { code: 6, bits: 32, kind: "int" },
  int64: { code: 7, bits: 64, kind: "int" },
  string: { code: 8, bits: 0, kind: "string" },
  bool: { code: 9, bits: 8, kind: "int" },
  float16: { code: 10, bits: 16, kind: "float" },
  float64: { code: 11, bits: 64, kind: "float" },
  uint32: { code: 12, bits: 32, kind: "int" },
  uint64: { code: 13, bits: 64, kind: "int" },
  complex64: { code: 14, bits: 64, kind: "opaque" },
  complex128: { code: 15, bits: 128, kind: "opaque" },
  bfloat16: { code: 16, bits: 16, kind: "float" },
  float8e4m3fn: { code: 17, bits: 8, kind: "opaque" },
  float8e4m3fnuz: { code: 18, bits: 8, kind: "opaque" },
  float8e5m2: { code: 19, bits: 8, kind: "opaque" },
  float8e5m2fnuz: { code: 20, bits: 8, kind: "opaque" },
  uint4: { code: 21, bits: 4, kind: "int" },
  int4: { code: 22, bits: 4, kind: "int" },
  float4e2m1: { code: 23, bits: 4, kind: "opaque" },
  float8e8m0: { code: 24, bits: 8, kind: "opaque" },
  uint2: { code: 25, bits: 2, kind: "int" },
  int2: { code: 26, bits: 2, kind: "int" },
} as const satisfies Record<string, { code: number; bits: number; kind: string }>;

export type DType = keyof typeof dtypes;

const byCode = new Map<number, DType>(
  (Object.keys(dtypes) as DType[]).map((name) => [dtypes[name].code, name]),
);

/** The element type of an ONNX code, or undefined for an unknown code. */
export function dtypeOfCode(code: number): DType | undefined {
  return byCode.get(code);
}

/** Bytes of `size` elements as raw_data. Packed types are rounded up to whole bytes. */
export function byteLengthOf(dtype: DType, size: number): number {
  return Math.ceil((size * dtypes[dtype].bits) / 8);
}

export type TypedArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

type ArrayOf = {
  new (buffer: ArrayBufferLike, offset: number, length: number): TypedArray;
  readonly BYTES_PER_ELEMENT: number;
};

/**
 * The constructor of the typed array that holds the elements: 16-bit words for float16 and
 * bfloat16, bytes for bool, packed and opaque types.
 */
export function arrayOf(dtype: DType): ArrayOf {
  switch (dtype) {
    case "float32":
      return Float32Array;
    case "float64":
      return Float64Array;
    case "int8":
      return Int8Array;
    case "int16":
      return Int16Array;
    case "int32":
      return Int32Array;
    case "int64":
      return BigInt64Array;
    case "uint16":
    case "float16":
    case "bfloat16":
      return Uint16Array;
    case "uint32":
      return Uint32Array;
    case "uint64":
      return BigUint64Array;
    default:
      return Uint8Array;
  }
}
