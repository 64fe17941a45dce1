import { describe, expect, it } from "vitest";
import { type Load, Tensor, tensor } from "../../src/ir/tensor.ts";
import { countPackedZeros, countValues } from "../../src/numeric/finite.ts";
import { createRandom } from "../../src/numeric/random.ts";

describe("countValues", () => {
  it("tells zeros of both signs, NaN and infinities apart", () => {
    const values = Float32Array.of(0, -0, 1, 1e-45, NaN, Infinity, -Infinity, -2);
    expect(countValues(values)).toEqual({ zeros: 2, nan: 1, infinite: 2 });
  });
});

describe("countPackedZeros", () => {
  it("counts the integers, and not what fills the last byte", () => {
    // 0, 3, 0 | 1, 0 in 4 bits, low bits first; the last half byte is filled with 0.
    expect(countPackedZeros(Uint8Array.of(0x30, 0x10, 0x00), 4, 5)).toBe(3);
    // 0, 1, 0, 3 | 0, 2 in 2 bits.
    expect(countPackedZeros(Uint8Array.of(0b11000100, 0b00001000), 2, 6)).toBe(3);
    expect(countPackedZeros(new Uint8Array(0), 4, 0)).toBe(0);
  });
});

describe("counts of a tensor", () => {
  const random = createRandom(4);
  const size = 700_003;
  const numbers = Array.from({ length: size }, () => random.int(4) - 2);

  it.each(["int2", "int4", "int8", "float16", "float32"] as const)(
    "%s: as its numbers",
    (dtype) => {
      const whole = tensor(dtype, [size], numbers);
      const zeros = numbers.filter((x) => x === 0).length;
      expect(whole.counts).toEqual({ zeros, nan: 0, infinite: 0 });
    },
  );

  it("of a file are those of its pieces, one after the other", () => {
    const values = Float32Array.from(numbers);
    // On both sides of the end of the first MiB, and at the end.
    values[2 ** 18 - 1] = NaN;
    values[2 ** 18] = Infinity;
    values[size - 1] = NaN;
    const zeros = values.filter((x) => x === 0).length;
    const bytes = new Uint8Array(values.buffer);
    const asked: number[] = [];
    const load: Load = (length = bytes.length, from = 0, into = new Uint8Array(length)) => {
      asked.push(length);
      into.set(bytes.subarray(from, from + length));
      return into;
    };
    const stored = new Tensor("float32", [size], load, null, true);
    expect(stored.counts).toEqual({ zeros, nan: 2, infinite: 1 });
    expect(Math.max(...asked)).toBeLessThan(bytes.length);
    expect(asked.reduce((sum, length) => sum + length, 0)).toBe(bytes.length);
  });

  it("of packed levels in a file leave the filling of the last byte out", () => {
    const bytes = new Uint8Array(2 ** 20 + 1).fill(0x11);
    bytes[2 ** 20] = 0x01; // one level, and the filling
    const load = (length = bytes.length, from = 0) => bytes.subarray(from, from + length);
    const stored = new Tensor("int4", [2 ** 21 + 1], load, null, true);
    expect(stored.counts.zeros).toBe(0);
  });
});
