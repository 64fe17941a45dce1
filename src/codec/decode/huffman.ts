/**
 * @file Canonical Huffman codes of at most 15 bits: codes are numbered in order of length, then of
 * symbol, as in RFC 1951.
 */
import { DecodeError } from "./error.ts";
import type { BitReader } from "./reader.ts";

/** The longest code, in bits. */
export const MAX_LENGTH = 15;

/**
 * Makes a function that reads one symbol from `bits`. `lengths` holds the code length of each
 * symbol, 0 for one that does not occur. Codes are read first bit first. An alphabet of one symbol
 * takes no bits. Throws DecodeError for lengths above 15 or an empty alphabet, and while reading
 * for an unused code.
 */
export function huffmanDecoder(lengths: ArrayLike<number>, bits: BitReader): () => number {
  const counts = new Int32Array(MAX_LENGTH + 1);
  const symbols: number[] = [];
  for (let i = 0; i < lengths.length; i++) {
    if (lengths[i] < 0 || lengths[i] > MAX_LENGTH) throw new DecodeError("a code is too long");
    counts[lengths[i]]++;
  }
  for (let length = 1; length <= MAX_LENGTH; length++) {
    for (let i = 0; i < lengths.length; i++) if (lengths[i] === length) symbols.push(i);
  }
  if (symbols.length === 0) throw new DecodeError("an alphabet is empty");
  if (symbols.length === 1) return () => symbols[0];
  return () => {
    // `first` is the lowest code of the current length, `before` the number of shorter codes.
    let code = 0;
    let first = 0;
    let before = 0;
    for (let length = 1; length <= MAX_LENGTH; length++) {
      code = code * 2 + bits.take(1);
      const count = counts[length];
      if (code - first < count) return symbols[before + code - first];
      before += count;
      first = (first + count) * 2;
    }
    throw new DecodeError("no symbol has that code");
  };
}
