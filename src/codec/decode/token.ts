/** @file Integers as tokens of a small alphabet; rare large ones are followed by plain bits. */
import { type BitReader, unfold } from "./reader.ts";

/** Folded integers (0, -1, 1, -2 ... become 0, 1, 2, 3 ...) below this are their own token. */
export const DIRECT = 230;
/**
 * Size of the alphabet. From DIRECT on, token DIRECT + n - 7 stands for a folded integer of n + 1
 * bits.
 */
export const TOKENS = DIRECT + 25;

/** The integer of a token. For a long token, `bits` gives the n bits below the first. */
export function fromToken(token: number, bits: BitReader): number {
  if (token < DIRECT) return (token >>> 1) ^ -(token & 1);
  const n = token - DIRECT + 7;
  return unfold(2 ** n + bits.take(n));
}
