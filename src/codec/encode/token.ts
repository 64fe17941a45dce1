/** @file Integers -> tokens: the mirror of decode/token.ts. */
import { DIRECT } from "../decode/token.ts";
import { type BitWriter, fold } from "./writer.ts";

export function tokenOf(value: number): number {
  const folded = fold(value);
  return folded < DIRECT ? folded : DIRECT + 24 - Math.clz32(folded);
}

/** The bits that follow the token of a large number. */
export function putRest(value: number, bits: BitWriter): void {
  const folded = fold(value);
  if (folded < DIRECT) return;
  const count = 31 - Math.clz32(folded);
  bits.put(folded - 2 ** count, count);
}

/** How often each token occurs; as long as the largest token needs. */
export function countTokens(tokens: Uint8Array): Uint32Array<ArrayBuffer> {
  const counts = new Uint32Array(256);
  for (const token of tokens) counts[token]++;
  let length = 256;
  while (length > 1 && counts[length - 1] === 0) length--;
  return counts.slice(0, length);
}
