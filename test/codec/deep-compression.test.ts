import { describe, expect, it } from "vitest";
import { deepCompression } from "../../src/codec/deep-compression.ts";
import { toEntries } from "../../src/codec/encode/gaps.ts";

/** Figure 2 of the paper's kind: 3-bit gaps, a gap of more than 7 zeros takes a filler. */
const codes = new Int32Array(32);
codes[1] = 3;
codes[4] = 1;
codes[15] = 1; // 10 zeros after 4: filler after 7 zeros (at 12), then 2 zeros
codes[16] = 2;

describe("Deep Compression's accounting, worked by hand", () => {
  it("relative positions and fillers", () => {
    const { gaps, values } = toEntries(codes, 3);
    // Seven zeros, the filler at 12, two zeros. The 15 zeros at the end need no entry.
    expect([...gaps]).toEqual([1, 2, 7, 2, 0]);
    expect([...values]).toEqual([3, 1, 0, 1, 2]);
  });

  it("bits and bytes of every stage", () => {
    const layer = deepCompression(codes, { gapBits: 3, codeBits: 2 });
    expect(layer).toMatchObject({ weights: 32, kept: 4, fillers: 1 });
    // Counts 2 1 1 1 of the codes 1 0 2 3, and of the gaps 2 0 1 7: any Huffman code takes 10 bits.
    expect(layer.codeBits).toEqual({ fixed: 2, huffman: 2 });
    expect(layer.gapBits).toEqual({ fixed: 3, huffman: 2 });
    expect(layer.bytes).toEqual({
      original: 128,
      codebook: 12, // 3 floats
      shared: 4 + 12, // 5 entries of 5 bits
      codes: 2, // 10 bits
      gaps: 2,
      tables: 6, // 4 codes and 8 gaps at 4 bits
      coded: 2 + 2 + 6 + 12,
    });
  });

  it("an empty layer has no entries but fillers", () => {
    expect(deepCompression(new Int32Array(7), { gapBits: 3, codeBits: 2 })).toMatchObject({
      kept: 0,
      fillers: 0,
    });
  });
});
