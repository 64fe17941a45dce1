/**
 * @file Codes integers as tokens with static frequency tables, one table for each class of
 * neighbourhood: the fast coder.
 *
 * rANS (Duda 2013, arXiv 1311.2540). The state x in [2^23, 2^31) holds the next token in its low 12
 * bits: each token owns as many of the 4096 slots as its frequency. To decode the token t, which
 * owns the slots from start(t) on:
 *
 *   slot = x mod 4096,  x = slots(t) (x >> 12) + slot - start(t)
 *   while x < 2^23: x = 256 x + next byte
 */
import { codeByContext, usual } from "./context.ts";
import { DecodeError } from "./error.ts";
import { RangeDecoder } from "./range.ts";
import { BitReader, type Reader } from "./reader.ts";
import { level, type Shape, shapeOf } from "./shape.ts";
import { DIRECT, fromToken, TOKENS } from "./token.ts";

export const SLOT_BITS = 12;
/** Slots that the tokens of one class share. */
const SLOTS = 1 << SLOT_BITS;

/** Number of levels that `Surroundings.level` gives. */
export const LEVELS = 96;

/**
 * Estimates the next magnitude from those already coded, by running means of its row and its
 * column, in 1/4096, and the mean of all rows before. Encoder and decoder both keep one.
 */
export class Surroundings {
  /** Running mean of each column. */
  readonly #columns: Int32Array;
  /** Running mean of the row; it begins as the mean of all rows before. */
  #row = 0;
  /** The row's index. */
  #r = -1;
  /** Sum and count of all magnitudes so far. */
  #sum = 0;
  #count = 0;
  /** Level of the mean of all rows before. */
  #all = 0;

  constructor({ columns }: Shape) {
    this.#columns = new Int32Array(columns);
  }

  /** Starts a row; called before the first one, too. */
  newRow(): void {
    this.#r++;
    this.#row = this.#count && Math.floor((this.#sum * 4096) / this.#count);
    this.#all = level(this.#row);
  }

  /** The level of row mean x column mean / overall mean at column `c`, in quarters of an octave. */
  level(c: number): number {
    const row = level(this.#row);
    if (this.#r === 0) return row;
    const product = row + level(this.#columns[c]) - this.#all;
    return product < 0 ? 0 : product < LEVELS ? product : LEVELS - 1;
  }

  /** Adds the element at column `c`. Means move by 1/8 of the difference, later by 1/32. */
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

/** The rate of a mean over `count` numbers, as a right shift. */
const settled = (count: number) => (count < 12 ? 3 : count < 24 ? 4 : 5);

/**
 * Reads a small table of integers [rows, columns], which is coded by the context coder with
 * its usual options.
 */
export function readTable(bytes: Uint8Array, rows: number, columns: number): Int32Array {
  const table = new Int32Array(rows * columns);
  codeByContext(new RangeDecoder(bytes), table, shapeOf([rows, columns]), usual);
  return table;
}

/**
 * Decodes shape.size integers. Where `low` > 0, an integer is 2^low v + r - floor(2^low / 2): v is
 * coded as a token, and the `low` bits r are plain.
 *
 *   field     type     meaning
 *   head      byte     classes + 32 low
 *   alphabet  byte     number of tokens
 *   classOf   section  class of each level, a table [1, 96]; absent if there is one class
 *   slots     section  slots of each token, a table [classes, alphabet]; each row sums to 4096
 *   coded     section  the state (4 bytes, high first), then the bytes that refill it
 *   rest      bits     for each integer: the plain bits of a long token, then `low` bits
 */
export function decodeRans(reader: Reader, shape: Shape): Int32Array<ArrayBuffer> {
  const head = reader.byte();
  const classes = head & 31;
  const low = head >> 5;
  const half = (1 << low) >> 1;
  const alphabet = reader.byte();
  if (classes < 1 || alphabet < 1 || alphabet > TOKENS) {
    throw new DecodeError("an option is out of range");
  }
  const classOf = classes > 1 ? readTable(reader.section(), 1, LEVELS) : new Int32Array(LEVELS);
  if (classOf.some((k) => k < 0 || k >= classes))
    throw new DecodeError("an option is out of range");
  const slots = slotsOf(readTable(reader.section(), classes, alphabet), classes, alphabet);
  const coded = reader.section();
  const bits = new BitReader(reader.take());

  let at = 4;
  let x = coded[0] * 2 ** 24 + coded[1] * 2 ** 16 + coded[2] * 256 + coded[3];
  // x is NaN where there are fewer than four bytes.
  if (!(x >= 1 << 23 && x < 2 ** 31)) throw new DecodeError("the coded numbers are cut");
  x |= 0;

  const out = new Int32Array(shape.size);
  const around = classes > 1 ? new Surroundings(shape) : null;
  for (let i = 0, c = 0; i < out.length; i++) {
    if (c === 0) around?.newRow();
    const base = around ? classOf[around.level(c)] << SLOT_BITS : 0;
    const slot = slots[base + (x & (SLOTS - 1))];
    // A slot holds: token (8 bits) | offset within the token's slots (12) | their number - 1 (12).
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

/**
 * The table that decoding looks a slot up in, [classes, 4096]. Throws DecodeError where the slots
 * of a class do not sum to 4096.
 */
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
