import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { huffmanDecoder } from "../../src/codec/decode/huffman.ts";
import { BitReader } from "../../src/codec/decode/reader.ts";
import { codeLengths, codesOf } from "../../src/codec/encode/huffman.ts";
import { BitWriter } from "../../src/codec/encode/writer.ts";

const bits = (code: number, length: number) =>
  Array.from({ length }, (_, i) => (code >> i) & 1).join("");

describe("canonical Huffman codes", () => {
  it("RFC 1951, section 3.2.2: lengths (3, 3, 3, 3, 3, 2, 4, 4)", () => {
    const lengths = [3, 3, 3, 3, 3, 2, 4, 4];
    const codes = [...codesOf(lengths)].map((code, i) => bits(code, lengths[i]));
    expect(codes).toEqual(["010", "011", "100", "101", "110", "00", "1110", "1111"]);
  });

  it("are as long as Huffman's: his own example's total", () => {
    // Cormen et al., Introduction to Algorithms, figure 16.3: a-f take 224 (thousand) bits.
    const counts = [45, 13, 12, 16, 9, 5];
    const lengths = codeLengths(counts);
    expect([...lengths]).toEqual([1, 3, 3, 3, 4, 4]);
    expect(counts.reduce((sum, count, i) => sum + count * lengths[i], 0)).toBe(224);
  });

  it("fill the code space (Kraft) and stay within a bit of the entropy", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(5000), { minLength: 2, maxLength: 200 }), (counts) => {
        const used = counts.filter((count) => count > 0);
        fc.pre(used.length > 1);
        const lengths = codeLengths(counts);
        const kraft = lengths.reduce((sum, length) => sum + (length ? 2 ** -length : 0), 0);
        expect(kraft).toBe(1);
        const total = used.reduce((a, b) => a + b);
        const entropy = used.reduce((sum, count) => sum - count * Math.log2(count / total), 0);
        const size = counts.reduce((sum, count, i) => sum + count * lengths[i], 0);
        expect(size).toBeGreaterThanOrEqual(entropy - 1e-6 * entropy);
        expect(size).toBeLessThan(entropy + total);
      }),
    );
  });

  it("are never longer than 15 bits, however skewed the counts", () => {
    const fibonacci = [1, 1];
    while (fibonacci.length < 40) fibonacci.push(fibonacci.at(-1)! + fibonacci.at(-2)!);
    const lengths = codeLengths(fibonacci);
    expect(Math.max(...lengths)).toBe(15);
    expect(lengths.reduce((sum, length) => sum + 2 ** -length, 0)).toBeLessThanOrEqual(1);
  });

  it("decode what they coded", () => {
    const counts = [5, 0, 9, 1, 1, 30];
    const lengths = codeLengths(counts);
    const codes = codesOf(lengths);
    const message = [5, 0, 2, 3, 4, 5, 5, 2];
    const out = new BitWriter();
    for (const symbol of message) out.put(codes[symbol], lengths[symbol]);
    const next = huffmanDecoder(lengths, new BitReader(out.finish()));
    expect(message.map(() => next())).toEqual(message);
  });
});
