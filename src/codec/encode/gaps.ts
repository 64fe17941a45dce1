/**
 * @file Deep Compression's coding of sparse tensors (Han et al. 2016, arXiv 1510.00149,
 * sections 2 and 4): relative positions of b bits with filler zeros, and Huffman codes for
 * positions and values.
 */
import { codeLengths, codesOf } from "./huffman.ts";
import { writeTable } from "./rans.ts";
import { countTokens, putRest, tokenOf } from "./token.ts";
import { BitWriter, join, section, varint } from "./writer.ts";

/** A sparse tensor as entries: the zeros before each, and its value, which is 0 for a filler. */
export interface Entries {
  readonly gaps: Uint8Array;
  readonly values: Int32Array;
}

/**
 * Entries with gaps of `bits` bits. Where a gap would exceed 2^bits - 1, a filler is inserted.
 * Zeros after the last non-zero value get no entry.
 */
export function toEntries(values: Int32Array, bits: number): Entries {
  const reach = 2 ** bits - 1;
  const gaps: number[] = [];
  const kept: number[] = [];
  let gap = 0;
  for (const value of values) {
    if (value === 0 && gap < reach) gap++;
    else {
      gaps.push(gap);
      kept.push(value);
      gap = 0;
    }
  }
  while (kept.length > 0 && kept[kept.length - 1] === 0) kept.pop();
  return { gaps: Uint8Array.from(gaps.slice(0, kept.length)), values: Int32Array.from(kept) };
}

/** The smallest coding over gaps of 3 to 8 bits, or that of gaps of `bits` bits. */
export function encodeGaps(values: Int32Array, bits?: number): { bytes: Uint8Array; bits: number } {
  const choices = bits === undefined ? [3, 4, 5, 6, 7, 8] : [bits];
  const entries = choices.map((width) => ({ width, ...toEntries(values, width) }));
  const coded = entries
    .filter(({ gaps }) => gaps.length < values.length || bits !== undefined)
    .map((entry) => ({ bytes: encodeEntries(entry, entry.width), bits: entry.width }));
  const none = { bytes: encodeEntries(entries[0], choices[0]), bits: choices[0] };
  return coded.reduce((a, b) => (b.bytes.length < a.bytes.length ? b : a), coded[0] ?? none);
}

/** The coder's bytes, in the layout of coders[GAPS] in decode/symbols.ts. */
function encodeEntries({ gaps, values }: Entries, bits: number): Uint8Array {
  const tokens = Uint8Array.from(values, tokenOf);
  const gapCounts = new Uint32Array(2 ** bits);
  for (const gap of gaps) gapCounts[gap]++;
  if (gaps.length === 0) gapCounts[0] = 1; // The decoder refuses an empty alphabet.
  const gapLengths = codeLengths(gapCounts);
  const counts = countTokens(tokens);
  if (tokens.length === 0) counts[0] = 1;
  const lengths = codeLengths(counts);
  const gapCodes = codesOf(gapLengths);
  const codes = codesOf(lengths);
  const single = (of: Uint8Array) => of.filter((length) => length > 0).length === 1;
  const gapAlone = single(gapLengths);
  const alone = single(lengths);
  const out = new BitWriter();
  for (let i = 0; i < gaps.length; i++) {
    if (!gapAlone) out.put(gapCodes[gaps[i]], gapLengths[gaps[i]]);
    if (!alone) out.put(codes[tokens[i]], lengths[tokens[i]]);
    putRest(values[i], out);
  }
  return join(
    [bits],
    varint(gaps.length),
    section(writeTable(gapLengths, 1, gapLengths.length)),
    section(writeTable(lengths, 1, lengths.length)),
    [lengths.length],
    out.finish(),
  );
}
