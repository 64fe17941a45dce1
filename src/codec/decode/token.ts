/** @file Integers as tokens of a small alphabet, the rare large ones followed by plain bits. */
import { type BitReader, unfold } from "./reader.ts";

/** Folded integers (0, -1, 1, -2, 2 ... = 0, 1, 2, 3, 4 ...) below this are their own token. */
export const DIRECT = 230;
/** All tokens: from DIRECT on, token DIRECT + n - 7 means a folded number of n + 1 bits. */
export const TOKENS = DIRECT + 25;

/** The integer of a token; `bits` holds the n bits below the first. */
export function fromToken(token: number, bits: BitReader): number {
  if (token < DIRECT) return (token >>> 1) ^ -(token & 1);
  const n = token - DIRECT + 7;
  return unfold(2 ** n + bits.take(n));
}
