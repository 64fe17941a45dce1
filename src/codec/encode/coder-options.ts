/**
 * @file Chooses the context coder's options (decode/context.ts) for a tensor from the magnitudes in
 * it.
 */
import { type CoderOptions, MAX_CLASS, usual } from "../decode/context.ts";
import type { Shape } from "../decode/shape.ts";
import { findLag } from "./lag.ts";
import { plainBits } from "./plain.ts";
import { varint } from "./writer.ts";

/**
 * Options other than the usual ones take three more bytes; they are used if they save this
 * many binary decisions.
 */
const WORTH = 4096;
/** Magnitudes from this on are not considered for plain low bits. */
const REACH = 4096;

/**
 * The options for `values`; `width` is the last dimension. Options other than the lag change only
 * if that saves more than WORTH binary decisions.
 */
export function chooseOptions(values: Int32Array, shape: Shape, width: number): CoderOptions {
  const lag = findLag(values, shape, width);
  const counts = new Uint32Array(MAX_CLASS + 1);
  const magnitudes = new Uint32Array(REACH);
  let nonzeros = 0;
  for (let i = 0; i < values.length; i++) {
    const magnitude = values[i] < 0 ? -values[i] : values[i];
    if (magnitude === 0) continue;
    nonzeros++;
    counts[31 - Math.clz32(magnitude)]++;
    if (magnitude < REACH) magnitudes[magnitude]++;
  }
  const least = counts.findIndex((count) => count > 0);
  const most = counts.findLastIndex((count) => count > 0);
  if (most - least > 15 || most < 0 || most === usual.most) return { ...usual, lag };
  let first = least;
  for (let k = least + 1; k < most; k++) {
    if (questions(counts, least, most, k) < questions(counts, least, most, first)) first = k;
  }
  const low = 2 ** most < REACH ? plainBits(magnitudes, false) : 0;
  const before = questions(counts, 0, MAX_CLASS, 0);
  const saved = before - questions(counts, least, most, first) + low * nonzeros;
  return saved < WORTH ? { ...usual, lag } : { lag, least, most, first, low };
}

/** The options' bytes: the mirror of readOptions in decode/symbols.ts. */
export function writeOptions({ lag, least, most, first, low }: CoderOptions): number[] {
  if (most === usual.most) return varint(lag);
  return [0, 8 * least + low, 16 * (most - least) + first - least, ...varint(lag)];
}

/**
 * How many comparisons "is k larger than t?" all classes k take if the first one is with t =
 * `first`. counts[k] is the number of elements of class k.
 */
function questions(counts: Uint32Array, least: number, most: number, first: number): number {
  return counts.reduce((sum, count, k) => {
    const up = Math.min(k + 1, most) - first;
    const down = first + 2 - Math.max(k, least + 1);
    return sum + count * (k > first ? up : down);
  }, 0);
}
