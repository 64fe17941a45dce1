import { describe, expect, it } from "vitest";
import { codeByContext, usual } from "../../src/codec/decode/context.ts";
import { DecodeError } from "../../src/codec/decode/error.ts";
import { RangeDecoder } from "../../src/codec/decode/range.ts";
import { Reader } from "../../src/codec/decode/reader.ts";
import { shapeOf } from "../../src/codec/decode/shape.ts";
import { CONTEXT, decodeSymbols, RANS } from "../../src/codec/decode/symbols.ts";
import { SPLIT } from "../../src/codec/decode/tensor.ts";
import { chooseOptions } from "../../src/codec/encode/coder-options.ts";
import { RangeEncoder } from "../../src/codec/encode/range.ts";
import { encodeWith } from "../../src/codec/encode/symbols.ts";
import { encodeTensor } from "../../src/codec/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";

const entropy = (p: number) => -p * Math.log2(p) - (1 - p) * Math.log2(1 - p);

function orderZeroBytes(values: Int32Array): number {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  let bits = 0;
  for (const count of counts.values()) bits -= count * Math.log2(count / values.length);
  return bits / 8;
}

describe("the range coder", () => {
  it.each([0.5, 0.1, 0.01, 0.001])("takes the entropy for bits of probability %d", (p) => {
    const random = createRandom(7);
    const count = 100_000;
    const bits = Array.from({ length: count }, () => Number(random.float() < p));
    const ones = bits.reduce((a, b) => a + b, 0);
    const encoder = new RangeEncoder();
    for (const bit of bits) encoder.code(Math.round(p * 65536), bit);
    const bytes = encoder.finish();
    const ideal = (-ones * Math.log2(p) - (count - ones) * Math.log2(1 - p)) / 8;
    expect(bytes.length).toBeLessThan(ideal * 1.01 + 4);
    expect(bytes.length).toBeGreaterThan(ideal * 0.99 - 4);
    const decoder = new RangeDecoder(bytes);
    expect(bits.every((bit) => decoder.code(Math.round(p * 65536)) === bit)).toBe(true);
  });

  it("carries through any number of 255s, at the most unlikely bits", () => {
    const random = createRandom(8);
    for (let round = 0; round < 200; round++) {
      const script = Array.from({ length: 300 }, () => {
        const p = [1, 2, 32768, 65534, 65535][random.int(5)];
        return { p, bit: random.int(8) === 0 ? Number(p < 32768) : Number(p >= 32768) };
      });
      const encoder = new RangeEncoder();
      for (const { p, bit } of script) encoder.code(p, bit);
      const decoder = new RangeDecoder(encoder.finish());
      expect(script.every(({ p, bit }) => decoder.code(p) === bit)).toBe(true);
    }
  });

  it("plain bits among others", () => {
    const random = createRandom(8);
    const script = Array.from({ length: 20_000 }, () => {
      const count = random.int(9);
      return { count, bits: random.int(2 ** count), p: 1 + random.int(65535), bit: random.int(2) };
    });
    const encoder = new RangeEncoder();
    for (const { count, bits, p, bit } of script) {
      if (count > 0) encoder.plain(bits, count);
      else encoder.code(p, bit);
    }
    const decoder = new RangeDecoder(encoder.finish());
    for (const { count, bits, p, bit } of script) {
      if (count > 0) expect(decoder.plain(0, count)).toBe(bits);
      else expect(decoder.code(p)).toBe(bit);
    }
    const alone = new RangeEncoder();
    for (let i = 0; i < 1000; i++) alone.plain(i & 7, 3);
    expect(alone.finish().length).toBeLessThan(375 + 4);
  });

  it("does not read far past its end", () => {
    const decoder = new RangeDecoder(new Uint8Array());
    expect(() => {
      for (let i = 0; i < 100; i++) decoder.code(32768);
    }).toThrow(DecodeError);
  });
});

describe("coders of integers", () => {
  const random = createRandom(9);
  const sparse = Int32Array.from({ length: 60_000 }, () =>
    random.float() < 0.95 ? 0 : (1 + random.int(4)) * (random.int(2) ? 1 : -1),
  );
  const gauss = Int32Array.from({ length: 60_000 }, () => Math.round(random.normal() * 12));

  it("independent symbols: within 2 % of the entropy of their distribution", () => {
    const ideal = (60_000 * (entropy(0.05) + 0.05 * 3)) / 8;
    const context = encodeWith(CONTEXT, sparse, [200, 300]).bytes.length;
    expect(context / ideal).toBeLessThan(1.02 * (orderZeroBytes(sparse) / ideal) + 0.005);
    expect(encodeWith(RANS, sparse, [200, 300]).bytes.length / ideal).toBeLessThan(1.04);
    const dense = orderZeroBytes(gauss);
    expect(encodeWith(CONTEXT, gauss, [200, 300]).bytes.length / dense).toBeLessThan(1.01);
    expect(encodeWith(RANS, gauss, [200, 300]).bytes.length / dense).toBeLessThan(1.01);
  });

  it("structure: rows, columns and scales that differ take far less than order 0", () => {
    // Half the columns empty, and every row with a scale of its own.
    const values = Int32Array.from({ length: 60_000 }, (_, i) =>
      i % 2 ? 0 : Math.round(random.normal() * 2 ** ((Math.floor(i / 300) % 8) - 1)),
    );
    const ideal = orderZeroBytes(values);
    expect(encodeWith(CONTEXT, values, [200, 300]).bytes.length / ideal).toBeLessThan(0.72);
    expect(encodeWith(RANS, values, [200, 300]).bytes.length / ideal).toBeLessThan(0.92);
  });

  it("the context coder asks for no class that does not occur, and for the usual one first", () => {
    // All magnitudes in [32, 128): a zero is one question; one of the rest that, its sign, whether it
    // exceeds 64, and the bits below, of which the uniform ones are plain.
    const magnitude = () => 32 + random.int(96);
    const pruned = Int32Array.from({ length: 20_000 }, () =>
      random.float() < 0.9 ? 0 : random.int(2) ? magnitude() : -magnitude(),
    );
    const shape = shapeOf([100, 200]);
    const options = chooseOptions(pruned, shape, 200);
    expect(options).toMatchObject({ least: 5, most: 6, first: 5 });
    expect(options.low).toBeGreaterThanOrEqual(3);
    let asked = 0;
    let plain = 0;
    const counter = {
      code: (_: number, bit: number) => ++asked && bit,
      plain: (bits: number) => ++plain && bits,
    };
    codeByContext(counter, pruned, shape, options);
    const kept = pruned.filter((value) => value !== 0);
    const large = kept.filter((value) => Math.abs(value) > 63).length;
    expect(asked).toBe(20_000 + (7 - options.low) * kept.length + large);
    expect(plain).toBe(kept.length);
  });

  it.each([
    [1, 1, 1],
    [-1, 0, 0],
    [5, -5, 4],
    [2 ** 31 - 1, 1 - 2 ** 31, 1],
    [2 ** 30, 2 ** 20 + 3, -(2 ** 29)],
    [3, 70_000, -65_536],
  ])("the context coder: %d, %d and %d among zeros, whatever its options", (...some) => {
    // Enough of them for options to be worth their bytes.
    const values = Int32Array.from({ length: 10_000 }, (_, i) => (i % 2 ? 0 : some[i % 3]));
    const { bytes } = encodeWith(CONTEXT, values, [100, 100]);
    expect(decodeSymbols(CONTEXT, new Reader(bytes), [100, 100])).toEqual(values);
    const found = chooseOptions(values, shapeOf([100, 100]), 100);
    const part = values.slice(0, 300);
    const shape = shapeOf([15, 20]);
    for (let first = found.least; first < found.most; first++) {
      for (const low of [0, 1, 7]) {
        const options = { ...found, lag: 2, first, low };
        const encoder = new RangeEncoder();
        codeByContext(encoder, part.slice(), shape, options);
        const back = new Int32Array(part.length);
        codeByContext(new RangeDecoder(encoder.finish()), back, shape, options);
        expect(back).toEqual(part);
      }
    }
  });

  it("options that no encoder has are refused", () => {
    const forged =
      (...bytes: number[]) =>
      () =>
        decodeSymbols(CONTEXT, new Reader(Uint8Array.from([...bytes, 9, 9, 9, 9, 9])), [4, 4]);
    expect(forged(0, 20 * 8, 11 * 16, 2)).toThrow(DecodeError); // class 31
    expect(forged(0, 3 * 8, 2 * 16 + 3, 2)).toThrow(DecodeError); // first beyond the largest
    expect(forged(0, 0, 16, 0)).toThrow(DecodeError); // lag 0
    expect(forged(17)).toThrow(DecodeError); // lag beyond the tensor
  });

  it("rANS: low bits of dense numbers are plain, so that small tensors need no large tables", () => {
    const normal = Int32Array.from({ length: 4096 }, () => Math.round(random.normal() * 30));
    const { bytes } = encodeWith(RANS, normal, [64, 64]);
    const ideal = (4096 * Math.log2(30 * Math.sqrt(2 * Math.PI * Math.E))) / 8;
    expect(bytes.length / ideal).toBeLessThan(1.015);
    expect(bytes[0] >> 5).toBeGreaterThan(1);
    normal.set([3000, -3000, 4095, -4096]); // and long ones
    const long = encodeWith(RANS, normal, [64, 64]).bytes;
    expect(long[0] >> 5).toBeGreaterThan(1);
    expect(decodeSymbols(RANS, new Reader(long), [64, 64])).toEqual(normal);
    const forged = long.slice();
    forged[0] += 64; // more low bits than there are
    expect(() => decodeSymbols(RANS, new Reader(forged), [64, 64])).toThrow(DecodeError);
  });

  it("the context model is the same on both sides", () => {
    const encoder = new RangeEncoder();
    const shape = shapeOf([20, 30, 10, 10]);
    const options = { ...usual, lag: 10 };
    codeByContext(encoder, sparse, shape, options);
    const back = new Int32Array(sparse.length);
    codeByContext(new RangeDecoder(encoder.finish()), back, shape, options);
    expect(back).toEqual(sparse);
  });

  it("floats: sign, exponent and fraction cost what their entropy says", () => {
    const floats = Float32Array.from({ length: 60_000 }, () => random.normal());
    const body = encodeTensor({
      dtype: "float32",
      dims: [200, 300],
      bytes: new Uint8Array(floats.buffer),
    });
    expect(body[0] >> 4).toBe(SPLIT);
    // 24 bits of sign and fraction, and the exponent of a normal variate: 2.0 bits.
    const exponents = Int32Array.from(floats, (x) => Math.floor(Math.log2(Math.abs(x))));
    const ideal = (60_000 * 24) / 8 + orderZeroBytes(exponents);
    expect(body.length).toBeLessThan(ideal * 1.003);
  });
});
