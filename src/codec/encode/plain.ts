/**
 * @file Decides how many low bits of a number are close to random, so that modelling them costs
 * time and saves nothing.
 */
import { log } from "../../numeric/log.ts";

/** The most low bits that may be plain. */
const MOST_LOW = 5;
/** Plain bits may make the estimated size larger by this factor, because they decode faster. */
const PLAIN = 1.0005;

/**
 * How many low bits may be plain, 0 to MOST_LOW, by an estimate of the coded size (tableBits).
 *
 * counts[n] is how often the number n - offset occurs, where the offset is a multiple of
 * 2^MOST_LOW. `rounded`: the high part is the number divided by 2^low and rounded to the nearest,
 * otherwise rounded down.
 */
export function plainBits(counts: Uint32Array, rounded: boolean): number {
  const total = counts.reduce((a, b) => a + b, 0);
  let least = tableBits(counts);
  let chosen = 0;
  for (let low = 1; low <= MOST_LOW; low++) {
    const table = new Uint32Array((counts.length >> low) + 1);
    const half = rounded ? 1 << (low - 1) : 0;
    for (let n = 0; n < counts.length; n++) table[(n + half) >> low] += counts[n];
    const bits = tableBits(table) + low * total;
    if (bits <= PLAIN * least) chosen = low;
    least = Math.min(least, bits);
  }
  return chosen;
}

/**
 * Bits that numbers of these counts take: their empirical entropy, and 5 bits of table for each
 * number that occurs.
 */
export function tableBits(counts: Uint32Array): number {
  let total = 0;
  let used = 0;
  let sum = 0;
  for (const count of counts) {
    if (count === 0) continue;
    total += count;
    used++;
    sum += count * log(count);
  }
  return (total * log(total) - sum) / Math.LN2 + 5 * used;
}
