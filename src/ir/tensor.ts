/** @file Tensor: immutable elements behind one interface, in memory or still in a file. */
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from "../numeric/float16.ts";
import { product } from "../util/product.ts";
import { arrayOf, byteLengthOf, type DType, dtypes, type TypedArray } from "./dtype.ts";

/** Random-access bytes that are read when asked for: external data, files larger than memory. */
export interface ByteSource {
  readonly byteLength: number;
  /** A view or a fresh copy of `length` bytes at `offset`; synchronous so that methods stay plain. */
  read(offset: number, length: number): Uint8Array;
}

/**
 * An immutable n-dimensional array, row-major. The bytes are ONNX raw_data: little-endian, 4- and
 * 2-bit types packed low bits first. They may sit unaligned in a larger buffer and are never copied
 * until someone asks for a typed view that needs it.
 */
export class Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Number of elements. */
  readonly size: number;
  readonly byteLength: number;
  readonly strings: readonly string[] | null;
  readonly #load: () => Uint8Array;

  constructor(
    dtype: DType,
    shape: readonly number[],
    load: () => Uint8Array,
    strings: readonly string[] | null = null,
  ) {
    this.dtype = dtype;
    this.shape = shape;
    this.size = product(shape);
    this.byteLength = byteLengthOf(dtype, this.size);
    this.strings = strings;
    this.#load = load;
  }

  /** raw_data bytes; possibly an unaligned view: do not write to it. */
  bytes(): Uint8Array {
    return this.#load();
  }

  /** Elements in their own storage type (int64 as bigint, halves as words); copied only if unaligned. */
  data(): TypedArray {
    const Type = arrayOf(this.dtype);
    const raw = this.bytes();
    const aligned = raw.byteOffset % Type.BYTES_PER_ELEMENT === 0 ? raw : new Uint8Array(raw); // a Node Buffer's slice() would not copy
    return new Type(aligned.buffer, aligned.byteOffset, raw.byteLength / Type.BYTES_PER_ELEMENT);
  }

  /** Elements as float32, whatever the type. A fresh array unless the tensor already is float32. */
  floats(): Float32Array {
    if (this.dtype === "float32") return this.data() as Float32Array;
    return Float32Array.from(this.numbers());
  }

  /** Elements as JavaScript numbers: floats decoded, packed integers unpacked, int64 rounded. */
  numbers(): ArrayLike<number> & Iterable<number> {
    const data = this.data();
    switch (this.dtype) {
      case "float16":
        return Float64Array.from(data as Uint16Array, fromFloat16);
      case "bfloat16":
        return Float64Array.from(data as Uint16Array, fromBfloat16);
      case "int64":
      case "uint64":
        return Float64Array.from(data as BigInt64Array, Number);
      case "int4":
      case "uint4":
      case "int2":
      case "uint2":
        return unpack(
          data as Uint8Array,
          this.size,
          dtypes[this.dtype].bits,
          this.dtype[0] === "i",
        );
      default:
        return data as Float32Array;
    }
  }

  /** The same bytes under another shape of equal size. */
  reshape(shape: readonly number[]): Tensor {
    return new Tensor(this.dtype, shape, this.#load, this.strings);
  }
}

/** A tensor over a typed array, a plain array, or one number for a scalar (shape []). */
export function tensor(
  dtype: DType,
  shape: readonly number[],
  values: TypedArray | readonly number[] | number,
): Tensor {
  const bytes = encode(dtype, typeof values === "number" ? [values] : values);
  return new Tensor(dtype, shape, () => bytes);
}

/** A tensor over ready raw_data bytes (no copy). */
export function rawTensor(dtype: DType, shape: readonly number[], bytes: Uint8Array): Tensor {
  return new Tensor(dtype, shape, () => bytes);
}

function encode(dtype: DType, values: TypedArray | readonly number[]): Uint8Array {
  const Type = arrayOf(dtype) as unknown as {
    new (length: number): TypedArray;
    readonly name: string;
  };
  const { bits } = dtypes[dtype];
  if (bits < 8) return pack(values as ArrayLike<number>, bits);
  if (!Array.isArray(values) && values instanceof Type) {
    const array = values as TypedArray;
    return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  }
  const array = new Type(values.length);
  const convert = converters[dtype];
  for (let i = 0; i < values.length; i++) array[i] = convert ? convert(values[i]) : values[i];
  return new Uint8Array(array.buffer);
}

const converters: { [K in DType]?: (x: number | bigint) => number | bigint } = {
  float16: (x) => toFloat16(Number(x)),
  bfloat16: (x) => toBfloat16(Number(x)),
  uint32: (x) => Number(x),
  int64: toInt64,
  uint64: (x) => BigInt.asUintN(64, typeof x === "bigint" ? x : BigInt(Math.trunc(x))),
};

/** Numbers at or beyond 2^63 saturate: ONNX writes INT64_MAX for "to the end". */
function toInt64(x: number | bigint): bigint {
  if (typeof x === "bigint") return x;
  if (x >= 2 ** 63) return 2n ** 63n - 1n;
  return x <= -(2 ** 63) ? -(2n ** 63n) : BigInt(Math.trunc(x));
}

function pack(values: ArrayLike<number>, bits: number): Uint8Array {
  const perByte = 8 / bits;
  const mask = (1 << bits) - 1;
  const bytes = new Uint8Array(Math.ceil(values.length / perByte));
  for (let i = 0; i < values.length; i++) {
    bytes[(i / perByte) | 0] |= (values[i] & mask) << ((i % perByte) * bits);
  }
  return bytes;
}

function unpack(bytes: Uint8Array, size: number, bits: number, signed: boolean): Int8Array {
  const perByte = 8 / bits;
  const values = new Int8Array(size);
  const mask = (1 << bits) - 1;
  const sign = signed ? 1 << (bits - 1) : 0;
  for (let i = 0; i < size; i++) {
    const value = (bytes[(i / perByte) | 0] >> ((i % perByte) * bits)) & mask;
    values[i] = (value ^ sign) - sign;
  }
  return values;
}
