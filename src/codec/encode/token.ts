/** @file Integers as tokens: the mirror of decode/token.ts. */
import { DIRECT } from "../decode/token.ts";
import { type BitWriter, fold } from "./writer.ts";

/** The token of an integer. */
export function tokenOf(value: number): number {
  const folded = fold(value);
  return folded < DIRECT ? folded : DIRECT + 24 - Math.clz32(folded);
}

/** Writes the plain bits that follow the token of a large integer. */
export function putRest(value: number, bits: BitWriter): void {
  const folded = fold(value);
  if (folded < DIRECT) return;
  const count = 31 - Math.clz32(folded);
  bits.put(folded - 2 ** count, count);
}

/** How often each token occurs, up to the largest token that does. */
export function countTokens(tokens: Uint8Array): Uint32Array<ArrayBuffer> {
  const counts = new Uint32Array(256);
  for (const token of tokens) counts[token]++;
  let length = 256;
  while (length > 1 && counts[length - 1] === 0) length--;
  return counts.slice(0, length);
}
