/**
 * @file Deep Compression's coding, accounted line by line as its tables do (Han et al. 2016, arXiv
 * 1510.00149, tables 2-5): what pruning, sharing and Huffman coding each leave of a layer.
 */
import { toEntries } from "./encode/gaps.ts";
import { codeLengths } from "./encode/huffman.ts";

export interface DeepCompressionOptions {
  /** Bits of a relative position: 8 for convolutions, 5 for fully connected layers in the paper. */
  readonly gapBits: number;
  /** Bits of a shared weight before Huffman coding: 8 for convolutions, 5 for the rest. */
  readonly codeBits: number;
  /** Bits of one codebook entry, and of a weight before compression. */
  readonly floatBits?: number;
}

/** Bits are averages per entry, an entry being a kept weight or a filler; bytes are rounded up once, per stream. */
export interface DeepCompressionLayer {
  readonly weights: number;
  readonly kept: number;
  /** Zeros stored because a gap did not fit. */
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
    /** Lengths of the Huffman codes of codes and gaps, 4 bits each. */
    readonly tables: number;
    /** Pruned, shared and Huffman coded: codes, gaps, tables and the codebook. */
    readonly coded: number;
  };
}

/** `codes`: the layer's shared weights by number, 0 for a pruned one. */
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

/** All occurrences in Huffman codes; a symbol alone takes a bit, as in the paper's accounting. */
function huffmanBits(counts: Map<number, number>): number {
  const list = [...counts.values()];
  const lengths = codeLengths(list);
  return list.reduce((sum, count, i) => sum + count * lengths[i], 0);
}
