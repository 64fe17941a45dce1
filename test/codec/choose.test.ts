import { describe, expect, it } from "vitest";
import { CONTEXT } from "../../src/codec/decode/symbols.ts";
import { chooseByRate } from "../../src/codec/encode/choose.ts";
import { encodeWith } from "../../src/codec/encode/symbols.ts";
import { createRandom } from "../../src/numeric/random.ts";

const dims = [60, 80];
const random = createRandom(7);
const normal = (): number =>
  Math.sqrt(-2 * Math.log(random.float() + 1e-12)) * Math.cos(6.2831853 * random.float());
const x = Float32Array.from({ length: 4800 }, () => 2.5 * normal() ** 3);
const ones = new Float32Array(x.length).fill(1);

describe("chooseByRate", () => {
  it("rounds where bits are free", () => {
    expect(chooseByRate(x, ones, 0, dims).values).toEqual(Int32Array.from(x, Math.round));
  });

  it("counts the bits that the coder writes", () => {
    for (const price of [0, 0.1, 0.5]) {
      const { values, bits } = chooseByRate(x, ones, price, dims);
      const written = encodeWith(CONTEXT, values, dims).bytes.length;
      expect(Math.abs(bits / 8 - written)).toBeLessThan(0.01 * written + 4);
    }
  });

  it("gives fewer bits and more error for a higher price, and a lower sum than rounding", () => {
    const plain = chooseByRate(x, ones, 0, dims);
    let before = plain;
    for (const price of [0.02, 0.1, 0.5, 2]) {
      const chosen = chooseByRate(x, ones, price, dims);
      expect(chosen.bits).toBeLessThan(before.bits);
      expect(chosen.distortion).toBeGreaterThan(before.distortion);
      const sum = chosen.distortion + price * chosen.bits;
      expect(sum).toBeLessThan(plain.distortion + price * plain.bits);
      before = chosen;
    }
  });

  it("keeps what is important", () => {
    const importance = Float32Array.from(x, (_, i) => (i % 2 ? 1000 : 0.001));
    const { values } = chooseByRate(x, importance, 1, dims);
    x.forEach((value, i) => {
      if (i % 2) expect(Math.abs(values[i] - value)).toBeLessThan(0.51);
    });
    expect(values.filter((v, i) => i % 2 === 0 && v !== 0).length).toBe(0);
  });
});
