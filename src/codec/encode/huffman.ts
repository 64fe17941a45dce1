/** @file Canonical Huffman code lengths and codes: the mirror of decode/huffman.ts. */
import { MAX_LENGTH } from "../decode/huffman.ts";

/**
 * Optimal code lengths (Huffman 1952) for symbols that occur `counts[symbol]` times. Counts
 * are halved until no length exceeds 15. Symbols that do not occur have length 0; one symbol
 * alone has length 1.
 */
export function codeLengths(counts: ArrayLike<number>): Uint8Array {
  const lengths = new Uint8Array(counts.length);
  let weights = Array.from(counts, (count, symbol) => ({ count, symbols: [symbol] }));
  weights = weights.filter(({ count }) => count > 0);
  if (weights.length === 1) lengths[weights[0].symbols[0]] = 1;
  if (weights.length < 2) return lengths;
  for (let shift = 0; ; shift++) {
    lengths.fill(0);
    // Two queues in ascending order: the leaves, and the sums, which are made in ascending order.
    const leaves = weights
      .map(({ count, symbols }) => ({ count: Math.ceil(count / 2 ** shift), symbols }))
      .sort((a, b) => a.count - b.count || a.symbols[0] - b.symbols[0]);
    const sums: typeof leaves = [];
    let leaf = 0;
    let sum = 0;
    const least = () =>
      sum >= sums.length || (leaf < leaves.length && leaves[leaf].count <= sums[sum].count)
        ? leaves[leaf++]
        : sums[sum++];
    for (let left = leaves.length; left > 1; left--) {
      const a = least();
      const b = least();
      const symbols = [...a.symbols, ...b.symbols];
      for (const symbol of symbols) lengths[symbol]++;
      sums.push({ count: a.count + b.count, symbols });
    }
    if (lengths.every((length) => length <= MAX_LENGTH)) return lengths;
  }
}

/**
 * The canonical code of each symbol, with the code's first bit as the lowest, which is the order in
 * which BitWriter writes.
 */
export function codesOf(lengths: ArrayLike<number>): Uint32Array {
  const codes = new Uint32Array(lengths.length);
  let code = 0;
  for (let length = 1; length <= MAX_LENGTH; length++) {
    for (let i = 0; i < lengths.length; i++) {
      if (lengths[i] === length) codes[i] = reversed(code++, length);
    }
    code *= 2;
  }
  return codes;
}

/** The low `length` bits of `code` in reverse order. */
function reversed(code: number, length: number): number {
  let out = 0;
  for (let i = 0; i < length; i++) out |= ((code >> i) & 1) << (length - 1 - i);
  return out;
}
