/**
 * @file Tensor: immutable elements behind one interface, whether they are in memory or still in a
 * file.
 */
import { type Counts, countPackedZeros, countValues } from "../numeric/finite.ts";
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from "../numeric/float16.ts";
import { product } from "../util/product.ts";
import { arrayOf, byteLengthOf, type DType, dtypes, type TypedArray } from "./dtype.ts";

/**
 * Bytes with random access that are read when they are needed: external data, and files
 * larger than memory.
 */
export interface ByteSource {
  readonly byteLength: number;
  /**
   * `length` bytes at `offset`, as a view or a copy; a copy may lie in `into`, which has as many
   * bytes. Reading is synchronous, so that methods need no promises.
   */
  read(offset: number, length: number, into?: Uint8Array): Uint8Array;
}

/**
 * Gives raw_data bytes: all of them, or no more than the first `length` where it is asked for no more.
 * Of a tensor in a file they are those from `from` on, perhaps in `into`, as `ByteSource` has it.
 */
export type Load = (length?: number, from?: number, into?: Uint8Array) => Uint8Array;

/** Bytes that are read at once where they are only counted: they stay in the processor's cache. */
const PIECE = 2 ** 20;

/**
 * An immutable row-major array of any number of dimensions. The bytes are ONNX raw_data:
 * little-endian; 4- and 2-bit types are packed low bits first. They may be an unaligned part of a
 * larger buffer, and are copied only where a typed view needs alignment.
 */
export class Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Number of elements. */
  readonly size: number;
  readonly byteLength: number;
  /** The elements of a string tensor, null for other types. */
  readonly strings: readonly string[] | null;
  /** Whether the bytes are read from a file whenever they are asked for, so that nobody keeps them. */
  readonly isInFile: boolean;
  readonly #load: Load;
  /** The last copy of unaligned bytes, for as long as somebody reads it. */
  #aligned: WeakRef<ArrayBuffer> | null = null;
  #counts: Counts | null = null;

  constructor(
    dtype: DType,
    shape: readonly number[],
    load: Load,
    strings: readonly string[] | null = null,
    isInFile = false,
  ) {
    this.dtype = dtype;
    this.shape = shape;
    this.size = product(shape);
    this.byteLength = byteLengthOf(dtype, this.size);
    this.strings = strings;
    this.isInFile = isInFile;
    this.#load = load;
  }

  /** The raw_data bytes. They may be an unaligned view of a file and must not be written to. */
  bytes(): Uint8Array {
    return this.#load();
  }

  /** The first `length` bytes of them, or all if there are fewer, without reading the others. */
  head(length: number): Uint8Array {
    return this.#load(Math.min(length, this.byteLength)).subarray(0, length);
  }

  /**
   * The elements in their storage type: int64 as bigint, 16-bit floats as words, packed types as
   * bytes. They are copied only if the bytes are unaligned.
   */
  data(): TypedArray {
    const Type = arrayOf(this.dtype);
    const { buffer, byteOffset, byteLength } = this.#alignedBytes(Type.BYTES_PER_ELEMENT);
    return new Type(buffer, byteOffset, byteLength / Type.BYTES_PER_ELEMENT);
  }

  /** The bytes at a multiple of `size`: a copy where they lie elsewhere. */
  #alignedBytes(size: number): Uint8Array {
    const known = this.#aligned?.deref();
    if (known) return new Uint8Array(known);
    const raw = this.bytes();
    if (raw.byteOffset % size === 0) return raw;
    // Not raw.slice(), which does not copy if `raw` is a Buffer of Node.
    const copy = new Uint8Array(raw);
    this.#aligned = new WeakRef(copy.buffer);
    return copy;
  }

  /** The elements as float32, whatever the type; a new array unless the tensor is float32. */
  floats(): Float32Array {
    if (this.dtype === "float32") return this.data() as Float32Array;
    return Float32Array.from(this.numbers());
  }

  /** The elements as numbers: floats decoded, packed integers unpacked, int64 rounded. */
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

  /** How many elements are zero, NaN and infinite; they are counted at the first access. */
  get counts(): Counts {
    this.#counts ??= this.isInFile ? this.#countPieces() : this.#countAll();
    return this.#counts;
  }

  #countAll(): Counts {
    const { bits, kind } = dtypes[this.dtype];
    if (bits >= 8 || kind !== "int") return countValues(this.numbers());
    return { zeros: countPackedZeros(this.bytes(), bits, this.size), nan: 0, infinite: 0 };
  }

  #countPieces(): Counts {
    const into = new Uint8Array(Math.min(PIECE, this.byteLength));
    const { bits } = dtypes[this.dtype];
    let [zeros, nan, infinite] = [0, 0, 0];
    for (let from = 0; from < this.byteLength; from += PIECE) {
      const length = Math.min(PIECE, this.byteLength - from);
      const size = Math.min((8 * PIECE) / bits, this.size - (8 * from) / bits);
      const piece = this.#load(length, from, into.subarray(0, length));
      const counts = new Tensor(this.dtype, [size], () => piece).counts;
      zeros += counts.zeros;
      nan += counts.nan;
      infinite += counts.infinite;
    }
    return { zeros, nan, infinite };
  }

  /** The same bytes in another shape of equal size. */
  reshape(shape: readonly number[]): Tensor {
    return new Tensor(this.dtype, shape, this.#load, this.strings, this.isInFile);
  }
}

/**
 * A tensor of the values in a typed array or a plain array, or of one number for a scalar (shape
 * []). A typed array of the type's own storage type is not copied.
 */
export function tensor(
  dtype: DType,
  shape: readonly number[],
  values: TypedArray | readonly number[] | number,
): Tensor {
  const bytes = encode(dtype, typeof values === "number" ? [values] : values);
  return new Tensor(dtype, shape, () => bytes);
}

/** A tensor of raw_data bytes, which are not copied. */
export function rawTensor(dtype: DType, shape: readonly number[], bytes: Uint8Array): Tensor {
  return new Tensor(dtype, shape, () => bytes);
}

/** raw_data bytes of values. */
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

/** Conversions to the storage type that assigning to the typed array does not do. */
const converters: { [K in DType]?: (x: number | bigint) => number | bigint } = {
  float16: (x) => toFloat16(Number(x)),
  bfloat16: (x) => toBfloat16(Number(x)),
  uint32: (x) => Number(x),
  int64: toInt64,
  uint64: (x) => BigInt.asUintN(64, typeof x === "bigint" ? x : BigInt(Math.trunc(x))),
};

/**
 * The int64 of a number. Beyond the limits of int64 it saturates: ONNX uses INT64_MAX for "to the
 * end".
 */
function toInt64(x: number | bigint): bigint {
  if (typeof x === "bigint") return x;
  if (x >= 2 ** 63) return 2n ** 63n - 1n;
  return x <= -(2 ** 63) ? -(2n ** 63n) : BigInt(Math.trunc(x));
}

/** Packs the low `bits` bits of each value, low bits first. */
function pack(values: ArrayLike<number>, bits: number): Uint8Array {
  const perByte = 8 / bits;
  const mask = (1 << bits) - 1;
  const bytes = new Uint8Array(Math.ceil(values.length / perByte));
  for (let at = 0, i = 0; at < bytes.length; at++) {
    let byte = 0;
    const end = Math.min(i + perByte, values.length);
    for (let shift = 0; i < end; i++, shift += bits) byte |= (values[i] & mask) << shift;
    bytes[at] = byte;
  }
  return bytes;
}

/** The elements of a packed type of `bits` bits. */
function unpack(bytes: Uint8Array, size: number, bits: number, signed: boolean): Int8Array {
  const perByte = 8 / bits;
  const values = new Int8Array(size);
  const mask = (1 << bits) - 1;
  const sign = signed ? 1 << (bits - 1) : 0;
  for (let at = 0, i = 0; i < size; at++) {
    let byte = bytes[at];
    for (const end = Math.min(i + perByte, size); i < end; i++, byte >>= bits) {
      values[i] = ((byte & mask) ^ sign) - sign;
    }
  }
  return values;
}
