import { describe, expect, it } from "vitest";
import { dequantizeGroups, quantizeChannels } from "../../src/numeric/quantize.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { cosine, sqnr } from "../../src/numeric/similarity.ts";

describe("sqnr", () => {
  it("is 20 dB for a tenth of noise, infinite for none", () => {
    expect(sqnr([3, 4], [3.3, 4.4])).toBeCloseTo(20, 12);
    expect(sqnr([3, 4], [3, 4])).toBe(Number.POSITIVE_INFINITY);
    expect(sqnr([0, 0], [0, 1])).toBe(Number.NEGATIVE_INFINITY);
  });

  it("grows by 6.02 dB per bit of a uniform signal", () => {
    const random = createRandom(1);
    const values = Float32Array.from({ length: 50_000 }, () => 2 * random.float() - 1);
    for (const bits of [4, 6, 8]) {
      const levels = quantizeChannels(values, [50_000], null, { bits, symmetric: true });
      // step = 2 / (2^bits - 2): signal 1/3, noise step^2 / 12
      const expected = 20 * Math.log10(2 ** bits - 2);
      expect(Math.abs(sqnr(values, dequantizeGroups(levels, [50_000])) - expected)).toBeLessThan(
        0.1,
      );
    }
  });
});

describe("cosine", () => {
  it("is the cosine of the angle", () => {
    expect(cosine([1, 0], [1, 1])).toBeCloseTo(Math.SQRT1_2, 15);
    expect(cosine([1, 2], [-2, -4])).toBeCloseTo(-1, 15);
    expect([cosine([0], [0]), cosine([0], [1])]).toEqual([1, 0]);
  });
});
