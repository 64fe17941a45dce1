/**
 * @file Splits floats into an integer of sign, exponent and first fraction bits, and the bits left
 * over.
 */
import { BitWriter, join, section, varint } from "./writer.ts";

/** Bits of the fraction that are predictable enough to be modelled. */
const MODELLED = 2;

/**
 * Splits the floats whose bits are `words`, of `bits` bits each with `fraction` fraction bits.
 * Returns the fields before the symbols, and the symbols. joinFloats in decode/tensor.ts
 * describes the layout.
 */
export function splitFloats(
  words: Int32Array,
  bits: number,
  fraction: number,
): { head: Uint8Array; symbols: Int32Array } {
  const mask = 2 ** (bits - 1) - 1;
  let used = 0;
  for (const word of words) used |= word & mask;
  const zeros = used === 0 ? bits - 2 : 31 - Math.clz32(used & -used);
  const dropped = Math.min(zeros, fraction);
  const plain = Math.max(0, fraction - MODELLED - dropped);
  let top = 0;
  for (const word of words) top = Math.max(top, (word & mask) >>> (plain + dropped));
  const rest = new BitWriter();
  const low = 2 ** plain - 1;
  const symbols = words.map((word) => {
    const magnitude = word & mask;
    const negative = (word >>> (bits - 1)) & 1;
    if (magnitude === 0 && !negative) return 0;
    rest.put((magnitude >>> dropped) & low, plain);
    const symbol = top + 1 - (magnitude >>> (plain + dropped));
    return negative ? -symbol : symbol;
  });
  return { head: join([plain, dropped], varint(top), section(rest.finish())), symbols };
}
