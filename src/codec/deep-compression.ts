/**
 * @file The size of a layer under Deep Compression's coding, in the columns of its tables
 * (Han et al. 2016, arXiv 1510.00149, tables 2-5): what pruning, weight sharing and Huffman
 * coding each leave.
 *
 * A pruned layer is a list of entries (gap, code). The gap is the number of zeros before a kept
 * weight, the code is the number of its shared value; where a gap does not fit its bits, a filler
 * entry with code 0 is stored. With n entries and s shared values,
 *
 *   shared = n (codeBits + gapBits) / 8 + s floatBits / 8
 *   coded  = Huffman(codes) + Huffman(gaps) + code length tables + s floatBits / 8
 */
import { toEntries } from "./encode/gaps.ts";
import { codeLengths } from "./encode/huffman.ts";

export interface DeepCompressionOptions {
  /** Bits of a gap: 8 for convolutions, 5 for fully connected layers in the paper. */
  readonly gapBits: number;
  /** Bits of a shared value's number: 8 for convolutions, 5 for the rest in the paper. */
  readonly codeBits: number;
  /** Bits of one codebook entry, and of a weight before compression; 32 unless given. */
  readonly floatBits?: number;
}

/**
 * The figures of one layer. Bits are averages per entry, where an entry is a kept weight or a
 * filler. Bytes are rounded up once for each stream.
 */
export interface DeepCompressionLayer {
  /** Elements of the layer, zeros included. */
  readonly weights: number;
  /** Entries that hold a weight. */
  readonly kept: number;
  /** Entries of value 0, stored where a gap did not fit its bits. */
  readonly fillers: number;
  readonly codeBits: { readonly fixed: number; readonly huffman: number };
  readonly gapBits: { readonly fixed: number; readonly huffman: number };
  readonly bytes: {
    readonly original: number;
    readonly codebook: number;
    /** Pruned and shared: entries of fixed length, and the codebook. */
    readonly shared: number;
    readonly codes: number;
    readonly gaps: number;
    /** The code lengths of both Huffman codes, 4 bits for each possible symbol. */
    readonly tables: number;
    /** Pruned, shared and Huffman coded: codes, gaps, tables and the codebook. */
    readonly coded: number;
  };
}

/**
 * Accounts for one layer. `codes` holds the number of each weight's shared value, 0 for a pruned
 * weight, in the order in which the layer is stored.
 */
export function deepCompression(
  codes: Int32Array,
  { gapBits, codeBits, floatBits = 32 }: DeepCompressionOptions,
): DeepCompressionLayer {
  const entries = toEntries(codes, gapBits);
  const count = entries.gaps.length;
  const symbols = countOf(entries.values);
  const distances = countOf(entries.gaps);
  const kept = count - (symbols.get(0) ?? 0);
  const shared = symbols.size - (symbols.has(0) ? 1 : 0);
  const codeTotal = huffmanBits(symbols);
  const gapTotal = huffmanBits(distances);
  const bytes = {
    original: Math.ceil((codes.length * floatBits) / 8),
    codebook: Math.ceil((shared * floatBits) / 8),
    codes: Math.ceil(codeTotal / 8),
    gaps: Math.ceil(gapTotal / 8),
    tables: Math.ceil(((2 ** codeBits + 2 ** gapBits) * 4) / 8),
  };
  const mean = (total: number) => (count ? total / count : 0);
  return {
    weights: codes.length,
    kept,
    fillers: count - kept,
    codeBits: { fixed: codeBits, huffman: mean(codeTotal) },
    gapBits: { fixed: gapBits, huffman: mean(gapTotal) },
    bytes: {
      ...bytes,
      shared: Math.ceil((count * (codeBits + gapBits)) / 8) + bytes.codebook,
      coded: bytes.codes + bytes.gaps + bytes.tables + bytes.codebook,
    },
  };
}

function countOf(values: Int32Array | Uint8Array): Map<number, number> {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

/**
 * Bits of all occurrences in Huffman codes. An alphabet of one symbol takes a bit for each
 * occurrence, as in the paper's accounting.
 */
function huffmanBits(counts: Map<number, number>): number {
  const list = [...counts.values()];
  const lengths = codeLengths(list);
  return list.reduce((sum, count, i) => sum + count * lengths[i], 0);
}
