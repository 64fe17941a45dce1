/** @file Codes one tensor into its smallest body: the mirror of decode/tensor.ts. */
import { product } from "../../util/product.ts";
import {
  BYTES,
  bitsOf,
  CODEBOOK,
  COPIES,
  distinctOf,
  GRID,
  GRIDS,
  INTEGERS,
  PARTS,
  partsOf,
  RAW,
  SPLIT,
} from "../decode/tensor.ts";
import { findCopies } from "./copies.ts";
import { findGrid, findGrids } from "./grid.ts";
import { writeTable } from "./rans.ts";
import { splitFloats } from "./split.ts";
import { type Coded, encodeSymbols, smallestOf } from "./symbols.ts";
import { fold, join, section, varint } from "./writer.ts";

/** Elements of a part, which is decoded at once and has a mapping and a coder of its own. */
const PART = 1 << 20;

/** Distinct elements that a codebook may have. A tensor with more is coded as numbers. */
const MAX_CODEBOOK = 4096;

/**
 * The smallest body of a tensor. `raw` is its ONNX raw_data, `dims` its dimensions. Tensors of more
 * than 1.5 PART elements are cut into parts of whole rows where that is possible.
 */
export function encodeBody(
  dtype: string,
  dims: readonly number[],
  raw: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const bits = bitsOf(dtype);
  const size = product(dims);
  const plain = join([RAW << 4], raw);
  // A decoder sets the padding bits after the last packed element to 0. Where they are not 0, the
  // tensor is stored raw, because its bytes must not change.
  const left = (size * bits) % 8;
  if (size === 0 || (left && raw[raw.length - 1] >> left)) return plain;
  if (size > 1.5 * PART) {
    const columns = size / dims[0];
    const rows = Math.floor(PART / columns / 8) * 8;
    const length = rows > 0 ? rows * columns : PART;
    let at = 0;
    const parts = partsOf(dims, size, length).map((part) => {
      const count = product(part);
      const from = at;
      at += Math.ceil((count * bits) / 8);
      return section(encodeBody(dtype, part, raw.subarray(from, at)));
    });
    return join([PARTS << 4], varint(length), ...parts);
  }
  const once = encodeOnce(dtype, dims, raw, bits, size);
  const copies = bits >= 8 ? encodeCopies(dtype, dims, raw, bits) : [];
  const choices = [plain, once, ...copies].map((bytes) => ({ id: 0, bytes }));
  return smallestOf(choices).bytes as Uint8Array<ArrayBuffer>;
}

/** The smallest body among the mappings of single elements. */
function encodeOnce(
  dtype: string,
  dims: readonly number[],
  raw: Uint8Array,
  bits: number,
  size: number,
): Uint8Array {
  return smallestOf(mappingsOf(dtype, dims, new Uint8Array(raw), bits, size).map(toBody)).bytes;
}

/** Bodies without repeated rows, or for matrices columns, where enough of them repeat. */
function encodeCopies(
  dtype: string,
  dims: readonly number[],
  raw: Uint8Array,
  bits: number,
): Uint8Array[] {
  if (dims.length < 2) return [];
  return (dims.length === 2 ? [false, true] : [false]).flatMap((byColumn) => {
    const found = findCopies(raw, dims[0], bits >> 3, byColumn);
    if (!found) return [];
    const { known, distinct, bytes } = found;
    const inner = distinctOf(dims, byColumn, distinct);
    const body = encodeOnce(dtype, inner, bytes, bits, (bytes.length * 8) / bits);
    const table = section(writeTable(known, 1, known.length));
    return [join([COPIES << 4, byColumn ? 1 : 0], varint(distinct), table, body)];
  });
}

/**
 * A mapping of the elements to integers: its number, the fields before the coder's bytes, and the
 * integers with their dimensions.
 */
interface Mapped {
  readonly mapping: number;
  readonly head: Uint8Array;
  readonly symbols: Int32Array;
  readonly dims: readonly number[];
}

/** The body: the first byte, the mapping's fields, the coder's bytes. */
function toBody({ mapping, head, symbols, dims }: Mapped): Coded {
  const coded = encodeSymbols(symbols, dims, head.length);
  return { id: 0, bytes: join([mapping * 16 + coded.id], head, coded.bytes) };
}

/** The mappings that may give the smallest body. */
function mappingsOf(
  dtype: string,
  dims: readonly number[],
  raw: Uint8Array<ArrayBuffer>,
  bits: number,
  size: number,
): Mapped[] {
  const words = wordsOf(dtype, raw, bits, size);
  const floating = /^b?float(16|32)/.test(dtype);
  const asBytes = (): Mapped => ({
    mapping: BYTES,
    head: new Uint8Array(),
    symbols: Int32Array.from(raw),
    dims: [size, bits >> 3],
  });
  if (!words) return [asBytes()];
  const counts = countDistinct(words, MAX_CODEBOOK);
  const mappings: Mapped[] = [];
  if (floating) {
    const grid = dtype === "float32" ? findGrid(new Float32Array(raw.buffer), counts) : null;
    if (grid) {
      const head = new Uint8Array(Float32Array.of(grid.scale).buffer);
      mappings.push({ mapping: GRID, head, symbols: grid.symbols, dims });
    }
    const few = counts && counts.size < size / 3 ? counts : null;
    if (dtype === "float32" && !grid) {
      for (const byColumn of dims.length === 2 ? [false, true] : [false]) {
        const grids =
          dims.length < 2 ? null : findGrids(new Float32Array(raw.buffer), dims[0], byColumn);
        if (!grids) continue;
        const { scales } = grids;
        const step = varint(byColumn ? 1 : size / dims[0]);
        const head = join(step, varint(scales.length), new Uint8Array(scales.buffer));
        mappings.push({ mapping: GRIDS, head, symbols: grids.symbols, dims });
      }
    }
    // No other mapping is smaller than a grid with most of its steps in use.
    if (grid && !(few && spanOf(grid.symbols) > 2 * few.size)) return mappings;
    if (few) mappings.push(codebook(dtype, words, few, bits, dims));
    else {
      const fraction = dtype === "bfloat16" ? 7 : bits === 16 ? 10 : 23;
      const { head, symbols } = splitFloats(words, bits, fraction);
      mappings.push({ mapping: SPLIT, head, symbols, dims });
    }
    return mappings;
  }
  // Integers that fill most of their range need no table.
  const few = counts && counts.size <= 256 && counts.size < size / 8 ? counts : null;
  const range = few ? Math.max(...few.keys()) - Math.min(...few.keys()) + 1 : 0;
  if (few && bits >= 8 && range > 2 * few.size)
    mappings.push(codebook(dtype, words, few, bits, dims));
  const centre = centreOf(words, few);
  const symbols = words.map((word) => word - centre);
  mappings.push({ mapping: INTEGERS, head: join(varint(fold(centre))), symbols, dims });
  return mappings;
}

/**
 * The elements as 32-bit words: integers as numbers, floats as their bits. Null where they do not
 * fit: float64, complex types, and 32- or 64-bit integers of 2^30 or more in magnitude.
 */
function wordsOf(
  dtype: string,
  raw: Uint8Array<ArrayBuffer>,
  bits: number,
  size: number,
): Int32Array<ArrayBuffer> | null {
  const signed = dtype.startsWith("int");
  if (bits < 8) {
    const each = 8 / bits;
    const sign = signed ? 1 << (bits - 1) : 0;
    const mask = (1 << bits) - 1;
    return Int32Array.from({ length: size }, (_, i) => {
      const value = (raw[Math.floor(i / each)] >> ((i % each) * bits)) & mask;
      return (value ^ sign) - sign;
    });
  }
  if (bits === 8) return Int32Array.from(signed ? new Int8Array(raw.buffer) : raw);
  if (bits === 16) {
    return Int32Array.from(signed ? new Int16Array(raw.buffer) : new Uint16Array(raw.buffer));
  }
  if (bits === 32 && dtype === "float32") return new Int32Array(raw.buffer);
  const small = (x: number) => x > -(2 ** 30) && x < 2 ** 30;
  if (bits === 32) {
    const words = new Int32Array(raw.buffer);
    return words.every(small) ? words : null;
  }
  if (dtype !== "int64" && dtype !== "uint64") return null;
  const long = new BigInt64Array(raw.buffer);
  if (!long.every((x) => x > -(2n ** 30n) && x < 2n ** 30n)) return null;
  return Int32Array.from(long, Number);
}

/** How often each element occurs, or null if there are more than `most` distinct ones. */
function countDistinct(words: Int32Array, most: number): Map<number, number> | null {
  const counts = new Map<number, number>();
  for (const word of words) {
    counts.set(word, (counts.get(word) ?? 0) + 1);
    if (counts.size > most) return null;
  }
  return counts;
}

/** The number of steps from the smallest to the largest symbol, 0 included. */
function spanOf(symbols: Int32Array): number {
  let least = 0;
  let most = 0;
  for (const symbol of symbols) {
    if (symbol < least) least = symbol;
    if (symbol > most) most = symbol;
  }
  return most - least + 1;
}

/**
 * The most common value if it has at least 1/16 of the elements, otherwise the median of a sample.
 * In practice this is 0 or a zero point.
 */
function centreOf(words: Int32Array, counts: Map<number, number> | null): number {
  if (counts) {
    const [value, count] = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a));
    if (count > words.length / 16) return value;
  }
  const sample = words.filter((_, i) => i % Math.ceil(words.length / 10_000) === 0);
  return sample.sort()[sample.length >> 1];
}

/**
 * The codebook mapping. The table has the distinct elements in numeric order; index 0 is that of
 * the most common element, or of the one nearest to 0 if none stands out.
 */
function codebook(
  dtype: string,
  words: Int32Array,
  counts: Map<number, number>,
  bits: number,
  dims: readonly number[],
): Mapped {
  const floating = /float/.test(dtype);
  // Maps the sign-and-magnitude bits of a float to a number that sorts as the floats do.
  const order = (word: number) => {
    const sign = floating ? 2 ** (bits - 1) : Number.POSITIVE_INFINITY;
    const unsigned = floating && word < 0 ? word + 2 ** 32 : word;
    return unsigned >= sign ? sign - unsigned - 1 : unsigned;
  };
  const table = [...counts.keys()].sort((a, b) => order(a) - order(b));
  const common = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a));
  const nearest = table.reduce((a, b) => (Math.abs(order(b)) < Math.abs(order(a)) ? b : a));
  const zero = table.indexOf(common[1] > words.length / 16 ? common[0] : nearest);
  const index = new Map(table.map((word, i) => [word, i - zero]));
  const bytes = new Uint8Array(table.length * (bits >> 3));
  const view = new DataView(bytes.buffer);
  table.forEach((word, i) => {
    if (bits === 8) view.setUint8(i, word);
    else if (bits === 16) view.setUint16(i * 2, word, true);
    else if (bits === 32) view.setInt32(i * 4, word, true);
    else view.setBigInt64(i * 8, BigInt(word), true);
  });
  const symbols = words.map((word) => index.get(word) as number);
  return { mapping: CODEBOOK, head: join(varint(zero), section(bytes)), symbols, dims };
}
