/** @file Low bits of numbers that are as good as random: they are not worth a model's time. */
import { log } from "../../numeric/log.ts";

/** Numbers further from 0 are not looked at. */
const REACH = 1 << 12;
const MOST_LOW = 5;
/** What plain bits may take of those that coded ones do: they are the faster. */
const PLAIN = 1.0005;

/**
 * How many low bits of (number + half of 2^bits, if `rounded`) may be plain, by the numbers' frequencies and
 * what a table of them takes.
 */
export function plainBits(numbers: Int32Array, rounded: boolean): number {
  const counts = new Uint32Array(2 * REACH);
  for (const number of numbers) {
    if (number < -REACH || number >= REACH) return 0;
    counts[number + REACH]++;
  }
  let least = tableBits(counts);
  let chosen = 0;
  for (let low = 1; low <= MOST_LOW; low++) {
    const table = new Uint32Array((counts.length >> low) + 1);
    const half = rounded ? 1 << (low - 1) : 0;
    for (let i = 0; i < counts.length; i++) table[(i + half) >> low] += counts[i];
    const bits = tableBits(table) + low * numbers.length;
    if (bits <= PLAIN * least) chosen = low;
    least = Math.min(least, bits);
  }
  return chosen;
}

/** What numbers of these counts take, with a table of 5 bits for each that occurs. */
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
