/** @file Integers -> rANS: the mirror of decode/rans.ts, and the choice of its classes. */

import { log } from "../../numeric/log.ts";
import { codeByContext } from "../decode/context.ts";
import { LEVELS, SLOT_BITS, Surroundings } from "../decode/rans.ts";
import { type Shape, shapeOf } from "../decode/shape.ts";
import { RangeEncoder } from "./range.ts";
import { countTokens, putRest, tokenOf } from "./token.ts";
import { BitWriter, join, section } from "./writer.ts";

const SLOTS = 1 << SLOT_BITS;

export function writeTable(table: ArrayLike<number>, rows: number, columns: number): Uint8Array {
  const coder = new RangeEncoder();
  codeByContext(coder, Int32Array.from(table), shapeOf([rows, columns]), 2);
  return coder.finish();
}

/** With one table (`contexts` false), or with one for each class of neighbourhood. */
export function encodeRans(values: Int32Array, shape: Shape, contexts: boolean): Uint8Array {
  const tokens = new Uint8Array(values.length);
  const bits = new BitWriter();
  for (let i = 0; i < values.length; i++) {
    tokens[i] = tokenOf(values[i]);
    putRest(values[i], bits);
  }
  const alphabet = countTokens(tokens).length;
  const levels = new Uint8Array(values.length);
  if (contexts) lookAround(values, shape, levels);
  const { classOf, tables } = chooseClasses(tokens, levels, alphabet, contexts);
  const classes = tables.length;
  const slots = tables.map(toSlots);
  const starts = slots.map((table) => {
    let start = 0;
    return table.map((count) => (start += count) - count);
  });

  // Backwards: the decoder takes last what is put first.
  const coded: number[] = [];
  let x = 1 << 23;
  for (let i = values.length - 1; i >= 0; i--) {
    const k = classOf[levels[i]];
    const count = slots[k][tokens[i]];
    const limit = count * 2 ** 19;
    for (; x >= limit; x >>>= 8) coded.push(x & 255);
    x = Math.floor(x / count) * SLOTS + (x % count) + starts[k][tokens[i]];
  }
  for (let i = 0; i < 4; i++, x >>>= 8) coded.push(x & 255);
  return join(
    [classes, alphabet],
    classes > 1 ? section(writeTable(classOf, 1, LEVELS)) : [],
    section(
      writeTable(
        slots.flatMap((table) => [...table]),
        classes,
        alphabet,
      ),
    ),
    section(Uint8Array.from(coded).reverse()),
    bits.finish(),
  );
}

function lookAround(values: Int32Array, shape: Shape, levels: Uint8Array): void {
  const around = new Surroundings(shape);
  for (let i = 0, c = 0; i < values.length; i++) {
    if (c === 0) around.newRow();
    levels[i] = around.level(i, c);
    around.add(i, c, values[i]);
    if (++c === shape.columns) c = 0;
  }
}

/**
 * Levels begin as classes of their own; as long as it makes the whole smaller, the two neighbouring
 * classes that lose least by it are joined. A table is reckoned at 5 bits a token that occurs.
 */
function chooseClasses(
  tokens: Uint8Array,
  levels: Uint8Array,
  alphabet: number,
  contexts: boolean,
): { classOf: Int32Array; tables: Uint32Array[] } {
  const groups: { from: number; table: Uint32Array; bits: number }[] = [];
  const counts = new Uint32Array(LEVELS * alphabet);
  for (let i = 0; i < tokens.length; i++) counts[levels[i] * alphabet + tokens[i]]++;
  for (let from = 0; from < LEVELS; from++) {
    const table = counts.slice(from * alphabet, (from + 1) * alphabet);
    if (table.some((count) => count > 0)) groups.push({ from, table, bits: bitsOf(table) });
  }
  const merged = (a: Uint32Array, b: Uint32Array) => a.map((count, i) => count + b[i]);
  while (groups.length > 1) {
    let best = 0;
    let gain = Number.NEGATIVE_INFINITY;
    let table = groups[0].table;
    let bits = 0;
    for (let i = 0; i + 1 < groups.length; i++) {
      const both = merged(groups[i].table, groups[i + 1].table);
      const bothBits = bitsOf(both);
      const less = groups[i].bits + groups[i + 1].bits - bothBits;
      if (less > gain) [best, gain, table, bits] = [i, less, both, bothBits];
    }
    if (gain < 0 && groups.length <= 16 && contexts) break;
    groups.splice(best, 2, { from: groups[best].from, table, bits });
  }
  const classOf = new Int32Array(LEVELS);
  groups.forEach(({ from }, k) => {
    classOf.fill(k, from);
  });
  return { classOf, tables: groups.map(({ table }) => table) };
}

function bitsOf(table: Uint32Array): number {
  let total = 0;
  let used = 0;
  let sum = 0;
  for (const count of table) {
    if (count === 0) continue;
    total += count;
    used++;
    sum += count * log(count);
  }
  return (total * log(total) - sum) / Math.LN2 + 5 * used;
}

/** Counts -> slots that sum to 4096, at least one for a token that occurs. */
function toSlots(counts: Uint32Array): Uint32Array {
  const total = counts.reduce((a, b) => a + b, 0);
  const slots = counts.map((count) => count && Math.max(1, Math.round((count / total) * SLOTS)));
  let left = SLOTS - slots.reduce((a, b) => a + b, 0);
  // What rounding left over goes where it matters least: from or to the most frequent.
  while (left !== 0) {
    let most = 0;
    for (let i = 1; i < slots.length; i++) if (slots[i] > slots[most]) most = i;
    const move = left > 0 ? left : -Math.min(-left, Math.max(1, slots[most] >> 3));
    slots[most] += move;
    left -= move;
  }
  return slots;
}
