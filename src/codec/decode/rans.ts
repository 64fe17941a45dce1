/**
 * @file Integers <-> tokens by static tables, one table per class of neighbourhood: the fast coder.
 *
 * rANS (Duda 2013, arXiv 1311.2540): the state x in [2^23, 2^31) holds the token in its low 12 bits,
 * where each token owns as many of the 4096 slots as it is frequent.
 */
import { codeByContext, usual } from "./context.ts";
import { DecodeError } from "./error.ts";
import { RangeDecoder } from "./range.ts";
import { BitReader, type Reader } from "./reader.ts";
import { level, type Shape, shapeOf } from "./shape.ts";
import { DIRECT, fromToken, TOKENS } from "./token.ts";

export const SLOT_BITS = 12;
const SLOTS = 1 << SLOT_BITS;

/** Levels of `Surroundings.level`. */
export const LEVELS = 96;

/**
 * What the magnitudes already coded say about the next one: running means of its row and its column,
 * in 1/4096, and of all before the row. The encoder asks the same.
 */
export class Surroundings {
  readonly #columns: Int32Array;
  #row = 0;
  #r = -1;
  #sum = 0;
  #count = 0;
  #all = 0;

  constructor({ columns }: Shape) {
    this.#columns = new Int32Array(columns);
  }

  newRow(): void {
    this.#r++;
    this.#row = this.#count && Math.floor((this.#sum * 4096) / this.#count);
    this.#all = level(this.#row);
  }

  /** Of the row's mean times the column's over that of all, in quarters of an octave. */
  level(c: number): number {
    const row = level(this.#row);
    if (this.#r === 0) return row;
    const product = row + level(this.#columns[c]) - this.#all;
    return product < 0 ? 0 : product < LEVELS ? product : LEVELS - 1;
  }

  /** After the element is known. Means move by 1/8, later by 1/32. */
  add(c: number, value: number): void {
    const size = value < 0 ? -value : value;
    const magnitude = size < 255 ? size : 255;
    this.#sum += magnitude;
    this.#count++;
    const scaled = magnitude << 12;
    const column = this.#r === 0 ? this.#row : this.#columns[c];
    this.#columns[c] = column + ((scaled - column) >> settled(this.#r));
    this.#row += (scaled - this.#row) >> settled(c);
  }
}

/** How slowly a mean of `count` numbers moves, as a shift. */
const settled = (count: number) => (count < 12 ? 3 : count < 24 ? 4 : 5);

/** Small tables of integers travel through the context coder: [rows, columns], no lag to speak of. */
export function readTable(bytes: Uint8Array, rows: number, columns: number): Int32Array {
  const table = new Int32Array(rows * columns);
  codeByContext(new RangeDecoder(bytes), table, shapeOf([rows, columns]), usual);
  return table;
}

/**
 * Classes + 32 low | alphabet | sections: class of each level, unless there is one; tokens' slots [classes,
 * alphabet]; rANS | plain bits: of a long token, then the `low` ones of its number, rounded to be a token's.
 */
export function decodeRans(reader: Reader, shape: Shape): Int32Array<ArrayBuffer> {
  const head = reader.byte();
  const classes = head & 31;
  const low = head >> 5;
  const half = (1 << low) >> 1;
  const alphabet = reader.byte();
  if (classes < 1 || alphabet < 1 || alphabet > TOKENS) {
    throw new DecodeError("the token tables are too large");
  }
  const classOf = classes > 1 ? readTable(reader.section(), 1, LEVELS) : new Int32Array(LEVELS);
  if (classOf.some((k) => k < 0 || k >= classes)) throw new DecodeError("no such class");
  const slots = slotsOf(readTable(reader.section(), classes, alphabet), classes, alphabet);
  const coded = reader.section();
  const bits = new BitReader(reader.take());

  let at = 4;
  let x = coded[0] * 2 ** 24 + coded[1] * 2 ** 16 + coded[2] * 256 + coded[3];
  // NaN where there are fewer than four.
  if (!(x >= 1 << 23 && x < 2 ** 31)) throw new DecodeError("the coded numbers are cut");
  x |= 0;

  const out = new Int32Array(shape.size);
  const around = classes > 1 ? new Surroundings(shape) : null;
  for (let i = 0, c = 0; i < out.length; i++) {
    if (c === 0) around?.newRow();
    const base = around ? classOf[around.level(c)] << SLOT_BITS : 0;
    const slot = slots[base + (x & (SLOTS - 1))];
    // token | offset in the token's slots | its slots - 1
    x = Math.imul((slot & 4095) + 1, x >>> SLOT_BITS) + ((slot >>> 12) & 4095);
    while (x < 1 << 23) {
      if (at === coded.length) throw new DecodeError("the coded numbers are cut");
      x = (x << 8) | coded[at++];
    }
    const token = slot >>> 24;
    const value = token < DIRECT ? (token >>> 1) ^ -(token & 1) : fromToken(token, bits);
    out[i] = low ? (value << low) + bits.take(low) - half : value;
    around?.add(c, value);
    if (++c === shape.columns) c = 0;
  }
  return out;
}

function slotsOf(frequencies: Int32Array, classes: number, alphabet: number): Uint32Array {
  const slots = new Uint32Array(classes * SLOTS);
  for (let k = 0, at = 0; k < classes; k++) {
    for (let token = 0; token < alphabet; token++) {
      const count = frequencies[k * alphabet + token];
      if (count < 0 || at + count > (k + 1) * SLOTS)
        throw new DecodeError("a table does not add up");
      for (let i = 0; i < count; i++) slots[at++] = token * 2 ** 24 + i * 4096 + (count - 1);
    }
    if (at !== (k + 1) * SLOTS) throw new DecodeError("a table does not add up");
  }
  return slots;
}
