/**
 * @file Decodes tensors that are stored as their difference from a tensor of a base, which is
 * another model (mapping 9).
 *
 *   field   type      meaning
 *   key     16 bytes  the first bytes of the SHA-256 of the base's tensor, as raw_data
 *   others            by the kind, which is the low half of the first byte
 *
 *   kind      others                                     element, from the element b of the base
 *   0 copy    none                                       b
 *   1 words   body of int32 d, of the same dimensions    the bits of b, changed by d (see below)
 *   2 sum     body of float32 d, of the same dimensions  float32(b + d)
 *   3 product byte r; section: body of float32 u [rows,  float32(b + (d + sum_k u[row, k] v[k, column])),
 *             r]; section: body of float32 v [r,         in doubles, k ascending, d first
 *             columns]; body of float32 d, or nothing
 *
 * Kind 1 changes an integer b of w bits to (b + d) mod 2^w. Of a float it changes the magnitude, the
 * w - 1 low bits, to (magnitude + d) mod 2^(w - 1). Where the sign changes too, d is 2^flipBits(w)
 * larger; without, d is less than half of that in magnitude.
 */
import { DecodeError } from "../decode/error.ts";
import { Reader } from "../decode/reader.ts";
import { bitsOf, DIFFERENCE, needsBase } from "../decode/tensor.ts";

/** Tensors of a base by `keyOf` their bytes. */
export type Base = ReadonlyMap<string, Uint8Array>;

export const COPY = 0;
export const WORDS = 1;
export const SUM = 2;
export const PRODUCT = 3;

/** Bytes of a key. */
export const KEY = 16;

/** Where the sign of a float changes, 2 to this power is added to the difference. */
export const flipBits = (bits: number): number => Math.min(bits, 28);

/** Whether elements of a type have a sign bit and a magnitude. */
export const isFloating = (dtype: string): boolean => /^b?float(16|32)$/.test(dtype);

/** The DecodeError of a base that is another model, or none. */
export class BaseError extends DecodeError {}

/** Decodes a body of another mapping. */
type Inner = (body: Uint8Array, dtype: string, dims: readonly number[]) => Promise<Uint8Array>;

/** Whether a body is decoded by `decodeDifference`. */
export const isDifference = (body: Uint8Array): boolean => body[0] >> 4 === DIFFERENCE;

/**
 * Decodes a body of mapping 9. Throws DecodeError where the base does not have the tensor, where the
 * body does not fit, and what `inner` throws, which decodes the bodies inside.
 */
export async function decodeDifference(
  body: Uint8Array,
  dtype: string,
  dims: readonly number[],
  base: Base | null,
  inner: Inner,
): Promise<Uint8Array> {
  const reader = new Reader(body);
  const kind = reader.byte() & 15;
  const key = hexOf(reader.take(KEY));
  if (!base) throw new DecodeError(needsBase);
  const from = base.get(key);
  const size = dims.reduce((product, dim) => product * dim, 1);
  const bits = bitsOf(dtype);
  if (!from) {
    throw new BaseError(`the base is another model: it has no tensor ${key.slice(0, 8)}...`);
  }
  if (from.length !== Math.ceil((size * bits) / 8)) {
    throw new DecodeError("a tensor of the base has another size");
  }
  if (kind === COPY) return from;
  // A copy, because the base's bytes may not be aligned, and are not ours.
  const out = new Uint8Array(from);
  if (kind === WORDS && (bits === 8 || bits === 16 || bits === 32)) {
    const d = numbers(await inner(reader.take(), "int32", dims), Int32Array);
    addWords(wordsOf(out, bits), d, bits, isFloating(dtype));
    return out;
  }
  if (dtype !== "float32") throw new DecodeError("only float32 has a difference of this kind");
  const floats = numbers(out, Float32Array);
  if (kind === SUM) {
    const d = numbers(await inner(reader.take(), dtype, dims), Float32Array);
    for (let i = 0; i < size; i++) floats[i] += d[i];
    return numbersBytes(floats);
  }
  if (kind !== PRODUCT) throw new DecodeError(`unknown difference ${kind}`);
  const [rows, columns] = [dims[0], size / dims[0]];
  const rank = reader.byte();
  // The factors of more elements than the tensor would be no saving, but a way to fill the memory.
  if (!(rank > 0 && rank * (rows + columns) <= size)) throw new DecodeError("a rank is too large");
  const u = numbers(await inner(reader.section(), dtype, [rows, rank]), Float32Array);
  const v = numbers(await inner(reader.section(), dtype, [rank, columns]), Float32Array);
  const rest = reader.take();
  const d = rest.length > 0 ? numbers(await inner(rest, dtype, dims), Float32Array) : null;
  addProduct(floats, u, v, rank, d);
  return numbersBytes(floats);
}

/** Changes words in place by the differences `d`, as described above. */
function addWords(
  words: Uint8Array | Uint16Array | Int32Array,
  d: Int32Array,
  bits: number,
  floating: boolean,
): void {
  const flip = 2 ** flipBits(bits);
  const sign = floating ? 1 << (bits - 1) : 0;
  for (let i = 0; i < d.length; i++) {
    const word = words[i];
    const isFlipped = floating && d[i] > flip / 2;
    const magnitude = (word & ~sign) + (isFlipped ? d[i] - flip : d[i]);
    words[i] = floating
      ? (magnitude & ~sign) | ((word & sign) ^ (isFlipped ? sign : 0))
      : magnitude;
  }
}

/** Adds d + u v to the matrix `out` in place: u is [rows, rank], v [rank, columns]. */
export function addProduct(
  out: Float32Array,
  u: Float32Array,
  v: Float32Array,
  rank: number,
  d: Float32Array | null,
): void {
  const columns = v.length / rank;
  const sums = new Float64Array(columns);
  for (let r = 0, at = 0; at < out.length; r++, at += columns) {
    if (d) sums.set(d.subarray(at, at + columns));
    else sums.fill(0);
    for (let k = 0; k < rank; k++) {
      const factor = u[r * rank + k];
      for (let c = 0, from = k * columns; c < columns; c++) sums[c] += factor * v[from + c];
    }
    for (let c = 0; c < columns; c++) out[at + c] += sums[c];
  }
}

const wordsOf = (bytes: Uint8Array<ArrayBuffer>, bits: number) =>
  bits === 8 ? bytes : bits === 16 ? new Uint16Array(bytes.buffer) : new Int32Array(bytes.buffer);

/** A view of whole, aligned bytes; they are copied only where they begin elsewhere. */
function numbers<T>(
  bytes: Uint8Array,
  type: new (buffer: ArrayBufferLike, at: number, length: number) => T,
): T {
  const own = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new type(own.buffer, own.byteOffset, own.byteLength / 4);
}

const numbersBytes = (floats: Float32Array): Uint8Array =>
  new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);

const hexOf = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
