/** @file Low bits of numbers that are as good as random: they are not worth a model's time. */
import { log } from "../../numeric/log.ts";

const MOST_LOW = 5;
/** What plain bits may take of those that coded ones do: they are the faster. */
const PLAIN = 1.0005;

/**
 * How many low bits may be plain, by how often each number occurs and what a table of that takes: counts[n] is
 * that of n less some multiple of 2^5. `rounded`: the rest is to be nearest to the number, not below it.
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
