/**
 * @file Codes integers by rANS: the mirror of decode/rans.ts, and the choice of its classes.
 *
 * The encoder goes through the tokens backwards. Token t, which owns count slots from start on,
 * changes the state x in [2^23, 2^31) to
 *
 *   x = 2^12 floor(x / count) + x mod count + start
 *
 * after the low bytes of x were written until x < 2^19 count.
 */

import { codeByContext, usual } from "../decode/context.ts";
import { LEVELS, SLOT_BITS, Surroundings } from "../decode/rans.ts";
import { type Shape, shapeOf } from "../decode/shape.ts";
import { plainBits, tableBits } from "./plain.ts";
import { RangeEncoder } from "./range.ts";
import { countTokens, putRest, tokenOf } from "./token.ts";
import { BitWriter, join, section } from "./writer.ts";

const SLOTS = 1 << SLOT_BITS;

/** The most classes that are used; the head byte has room for 31. */
const MOST_CLASSES = 16;

/**
 * Several classes are used if they take at most this share of the bits of one class, because one
 * table decodes faster.
 */
const FEWER = 1 / 1.007;

/** Codes a small table of integers [rows, columns]: the mirror of readTable. */
export function writeTable(table: ArrayLike<number>, rows: number, columns: number): Uint8Array {
  const coder = new RangeEncoder();
  codeByContext(coder, Int32Array.from(table), shapeOf([rows, columns]), usual);
  return coder.finish();
}

/**
 * Codes integers with a table for each class of neighbourhood, or with one table where several
 * save less than 0.7 %.
 */
export function encodeRans(numbers: Int32Array, shape: Shape): Uint8Array {
  const low = lowBits(numbers);
  const half = (1 << low) >> 1;
  const values = low > 0 ? numbers.map((number) => (number + half) >> low) : numbers;
  const tokens = new Uint8Array(values.length);
  const bits = new BitWriter();
  for (let i = 0; i < values.length; i++) {
    tokens[i] = tokenOf(values[i]);
    putRest(values[i], bits);
    if (low > 0) bits.put((numbers[i] + half) & (2 * half - 1), low);
  }
  const alphabet = countTokens(tokens).length;
  const levels = levelsOf(values, shape);
  const { classOf, tables } = chooseClasses(tokens, levels, alphabet);
  const classes = tables.length;
  const slots = Uint32Array.from(tables.flatMap((table) => [...toSlots(table)]));
  let start = 0;
  const starts = slots.map((count, k) => {
    if (k % alphabet === 0) start = 0;
    return (start += count) - count;
  });

  // The bytes are filled from the end, because the decoder reads last what is written first. A
  // token takes two bytes at most.
  const coded = new Uint8Array(2 * values.length + 4);
  let at = coded.length;
  let x = 1 << 23;
  for (let i = values.length - 1; i >= 0; i--) {
    const k = classOf[levels[i]] * alphabet + tokens[i];
    const count = slots[k];
    const limit = count * 2 ** 19;
    for (; x >= limit; x >>= 8) coded[--at] = x;
    const rounds = (x / count) | 0;
    x = (rounds << SLOT_BITS) + x - rounds * count + starts[k];
  }
  for (let i = 0; i < 4; i++, x >>= 8) coded[--at] = x;
  return join(
    [classes + 32 * low, alphabet],
    classes > 1 ? section(writeTable(classOf, 1, LEVELS)) : [],
    section(writeTable(slots, classes, alphabet)),
    section(coded.subarray(at)),
    bits.finish(),
  );
}

/** Numbers of this magnitude or more rule out plain low bits. */
const REACH = 4096;

function lowBits(numbers: Int32Array): number {
  const counts = new Uint32Array(2 * REACH);
  for (let i = 0; i < numbers.length; i++) {
    const n = numbers[i] + REACH;
    if (n < 0 || n >= counts.length) return 0;
    counts[n]++;
  }
  return plainBits(counts, true);
}

/** The level of each element's surroundings, as the decoder will see them. */
function levelsOf(values: Int32Array, shape: Shape): Uint8Array {
  const levels = new Uint8Array(values.length);
  const around = new Surroundings(shape);
  for (let i = 0, c = 0; i < values.length; i++) {
    if (c === 0) around.newRow();
    levels[i] = around.level(c);
    around.add(c, values[i]);
    if (++c === shape.columns) c = 0;
  }
  return levels;
}

/**
 * The levels from `from` up to those of the next class, the counts of their tokens, and the bits
 * that these and their table take.
 */
interface Class {
  readonly from: number;
  readonly table: Uint32Array;
  readonly bits: number;
}

/**
 * Groups the levels into classes. At first each level that occurs is a class of its own. Then,
 * while this makes the whole smaller, the two neighbouring classes whose union saves most are
 * joined, down to MOST_CLASSES or fewer. One class is taken where several save too little (FEWER).
 */
function chooseClasses(
  tokens: Uint8Array,
  levels: Uint8Array,
  alphabet: number,
): { classOf: Int32Array; tables: Uint32Array[] } {
  const classes: Class[] = [];
  const counts = new Uint32Array(LEVELS * alphabet);
  for (let i = 0; i < tokens.length; i++) counts[levels[i] * alphabet + tokens[i]]++;
  for (let from = 0; from < LEVELS; from++) {
    const table = counts.slice(from * alphabet, (from + 1) * alphabet);
    if (table.some((count) => count > 0)) classes.push({ from, table, bits: tableBits(table) });
  }
  const joined = (a: Class, b: Class): Class => {
    const table = a.table.map((count, i) => count + b.table[i]);
    return { from: a.from, table, bits: tableBits(table) };
  };
  // pairs[i]: classes i and i + 1 as one.
  const pairs = classes.slice(1).map((next, i) => joined(classes[i], next));
  const gainOf = (i: number): number => classes[i].bits + classes[i + 1].bits - pairs[i].bits;
  let many: readonly Class[] | null = null;
  while (classes.length > 1) {
    let best = 0;
    for (let i = 1; i < pairs.length; i++) if (gainOf(i) > gainOf(best)) best = i;
    if (gainOf(best) < 0 && classes.length <= MOST_CLASSES) many ??= [...classes];
    classes.splice(best, 2, pairs[best]);
    pairs.splice(best, 1);
    if (best > 0) pairs[best - 1] = joined(classes[best - 1], classes[best]);
    if (best < pairs.length) pairs[best] = joined(classes[best], classes[best + 1]);
  }
  const bits = many?.reduce((sum, each) => sum + each.bits, 0) ?? 0;
  const chosen = many && bits < FEWER * classes[0].bits ? many : classes;
  const classOf = new Int32Array(LEVELS);
  chosen.forEach(({ from }, k) => {
    classOf.fill(k, from);
  });
  return { classOf, tables: chosen.map(({ table }) => table) };
}

/** Counts -> slots that sum to 4096, with at least one for a token that occurs. */
function toSlots(counts: Uint32Array): Uint32Array {
  const total = counts.reduce((a, b) => a + b, 0);
  const slots = counts.map((count) => count && Math.max(1, Math.round((count / total) * SLOTS)));
  let left = SLOTS - slots.reduce((a, b) => a + b, 0);
  // The most frequent token takes what rounding left over, because its code length changes least.
  while (left !== 0) {
    let most = 0;
    for (let i = 1; i < slots.length; i++) if (slots[i] > slots[most]) most = i;
    const move = left > 0 ? left : -Math.min(-left, Math.max(1, slots[most] >> 3));
    slots[most] += move;
    left -= move;
  }
  return slots;
}
