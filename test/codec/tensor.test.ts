import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DecodeError, decodeTensor, encodeTensor } from "../../src/codec/tensor.ts";
import { byteLengthOf, type DType, dtypes } from "../../src/ir/dtype.ts";
import { createRandom } from "../../src/numeric/random.ts";

const types = (Object.keys(dtypes) as DType[]).filter((dtype) => dtype !== "string");

function roundTrip(dtype: DType, dims: readonly number[], bytes: Uint8Array): Uint8Array {
  const body = encodeTensor({ dtype, dims, bytes });
  const back = decodeTensor(body, dtype, dims);
  expect(back.length).toBe(bytes.length);
  expect(Buffer.compare(back, bytes)).toBe(0);
  expect(body.length).toBeLessThanOrEqual(bytes.length + 1);
  return body;
}

const bytesOf = (array: { buffer: ArrayBufferLike }) => new Uint8Array(array.buffer);

describe("encodeTensor, decodeTensor", () => {
  it("give every type's bytes back, whatever they are", () => {
    const shapes = fc.array(fc.integer({ min: 0, max: 7 }), { maxLength: 4 });
    fc.assert(
      fc.property(
        fc.constantFrom(...types),
        shapes,
        fc.infiniteStream(fc.nat(255)),
        (dtype, dims, stream) => {
          const size = dims.reduce((a, b) => a * b, 1);
          const bytes = Uint8Array.from(
            { length: byteLengthOf(dtype, size) },
            () => stream.next().value,
          );
          roundTrip(dtype, dims, bytes);
        },
      ),
      { numRuns: 150 },
    );
  });

  it("give sparse, clustered and constant tensors back, and small", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...types),
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 40 }),
        fc.uint8Array({ minLength: 1, maxLength: 12 }),
        fc.array(fc.nat(50), { minLength: 1, maxLength: 30 }),
        (dtype, rows, columns, value, gaps) => {
          const bytes = new Uint8Array(byteLengthOf(dtype, rows * columns));
          let at = 0;
          for (const gap of gaps) {
            at += gap;
            if (at < bytes.length) bytes[at] = value[at % value.length];
          }
          roundTrip(dtype, [rows, columns], bytes);
          bytes.fill(value[0]);
          if (dtypes[dtype].bits >= 8 && dtypes[dtype].bits <= 32) {
            expect(roundTrip(dtype, [rows, columns], bytes).length).toBeLessThan(24);
          }
        },
      ),
      { numRuns: 120 },
    );
  });

  it("keep NaN payloads, -0, infinities and denormals", () => {
    const words = Int32Array.of(
      0,
      -(2 ** 31),
      1,
      -1,
      0x7f800000,
      0x7f800001,
      0x7fc12345,
      0x3f800000,
      0x007fffff,
      0x80000001,
    );
    for (const repeat of [1, 3, 100]) {
      const many = Int32Array.from(
        { length: words.length * repeat },
        (_, i) => words[i % words.length],
      );
      roundTrip("float32", [many.length], bytesOf(many));
    }
    const long = BigInt64Array.of(-1n, 2n ** 63n - 1n, -(2n ** 63n), 0n, 0x7ff0000000000001n);
    roundTrip("int64", [5], bytesOf(long));
    roundTrip("float64", [5], bytesOf(long));
  });

  it("see floats on a grid, and clustered floats, for what they are", () => {
    const random = createRandom(1);
    const scale = Math.fround(0.0123);
    const symbols = Int8Array.from({ length: 4000 }, () => random.normal() * 30);
    const grid = Float32Array.from(symbols, (x) => x * scale);
    const asIntegers = encodeTensor({ dtype: "int8", dims: [40, 100], bytes: bytesOf(symbols) });
    expect(roundTrip("float32", [40, 100], bytesOf(grid)).length).toBeLessThanOrEqual(
      asIntegers.length + 6,
    );
    const centroids = Float32Array.from({ length: 16 }, () => random.normal());
    const shared = Float32Array.from({ length: 4000 }, () => centroids[random.int(16)]);
    // 4 bits each, 16 floats, and what learning costs
    expect(roundTrip("float32", [40, 100], bytesOf(shared)).length).toBeLessThan(2000 + 64 + 60);
  });

  it("write rows and columns that are there already once", () => {
    const random = createRandom(4);
    const noise = () => Float32Array.from({ length: 64 }, () => random.normal());
    const [once, again] = [noise(), noise()];
    const rows = Array.from({ length: 60 }, (_, i) => (i % 3 ? again : i ? noise() : once));
    const dense = new Float32Array(rows.flatMap((row) => [...row]));
    // 21 of 60 rows are distinct; 3.4 bytes a float.
    expect(roundTrip("float32", [60, 64], bytesOf(dense)).length).toBeLessThan(21 * 64 * 3.6);
    const turned = dense.map((_, i) => rows[i % 60][Math.floor(i / 60)]);
    expect(roundTrip("float32", [64, 60], bytesOf(turned)).length).toBeLessThan(21 * 64 * 3.6);
    expect(roundTrip("float32", [60, 4, 4, 4], bytesOf(dense))[0]).toBe(0x70);
  });

  it("leave noise alone: one byte more at most", () => {
    const random = createRandom(2);
    const noise = Uint8Array.from({ length: 40_000 }, () => random.int(256));
    roundTrip("float32", [100, 100], noise);
    expect(roundTrip("uint8", [40_000], noise).length).toBe(40_001);
  });

  it("cut large tensors into parts", () => {
    const size = 1_700_000;
    const bytes = new Uint8Array(size);
    for (let i = 0; i < size; i += 1009) bytes[i] = 1 + (i % 7);
    for (const dims of [
      [2, size / 2],
      [1700, 1000],
    ]) {
      expect(roundTrip("int8", dims, bytes).length).toBeLessThan(3500);
    }
  });
});

describe("bodies that nobody wrote", () => {
  const random = createRandom(3);
  const sparse = Int8Array.from({ length: 1500 }, () =>
    random.float() < 0.9 ? 0 : Math.round(random.normal() * 20),
  );
  const floats = Float32Array.from({ length: 1500 }, () => random.normal());
  const dense = Int8Array.from({ length: 1500 }, () => random.normal() * 30);
  const shared = floats.map((x) => Math.fround(Math.round(x * 2) / 3));
  const samples: [DType, number[], Uint8Array][] = [
    ["int8", [10, 15, 10], bytesOf(sparse)],
    ["float32", [15, 100], bytesOf(floats)],
    ["int8", [30, 50], bytesOf(dense)],
    ["float32", [25, 60], bytesOf(shared)],
    ["int8", [60, 25], bytesOf(dense.map((_, i) => dense[i % 600]))],
    ["int64", [3], bytesOf(BigInt64Array.of(1n, -1n, 2n ** 60n))],
  ];

  /** Decodes or refuses: the right number of bytes, or a DecodeError. */
  function survives(body: Uint8Array, dtype: DType, dims: number[], length: number): void {
    try {
      expect(decodeTensor(body, dtype, dims).length).toBe(length);
    } catch (error) {
      expect(error).toBeInstanceOf(DecodeError);
    }
  }

  it.each(samples)("%s %j: any cut, any flipped byte", (dtype, dims, bytes) => {
    const body = encodeTensor({ dtype, dims, bytes });
    for (let length = 0; length < body.length; length += Math.ceil(body.length / 25)) {
      survives(body.subarray(0, length), dtype, dims, bytes.length);
    }
    for (let at = 0; at < body.length; at += at < 60 ? 1 : Math.ceil(body.length / 25)) {
      for (const mask of [1, 16, 128, 255]) {
        const forged = Uint8Array.from(body);
        forged[at] ^= mask;
        survives(forged, dtype, dims, bytes.length);
      }
    }
  });

  it("any bytes at all, any shape", () => {
    const dims = fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 4 });
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 80 }),
        fc.nat(111),
        fc.constantFrom(...types),
        dims,
        (rest, id, dtype, shape) => {
          const size = shape.reduce((a, b) => a * b, 1);
          survives(Uint8Array.of(id, ...rest), dtype, shape, byteLengthOf(dtype, size));
        },
      ),
      { numRuns: 2000 },
    );
  });

  it("refuses strings and dimensions that are none", () => {
    expect(() => decodeTensor(Uint8Array.of(0), "string", [0])).toThrow(DecodeError);
    expect(() => decodeTensor(Uint8Array.of(0), "int8", [-1])).toThrow(DecodeError);
    expect(() => decodeTensor(Uint8Array.of(16), "int8", [2 ** 40, 2 ** 40])).toThrow(DecodeError);
  });

  it("find a scale for each row or column of weights that were rounded so", () => {
    const random = createRandom(8);
    const [rows, columns] = [40, 50];
    const rounded = (byColumn: boolean) => {
      const scales = Float32Array.from({ length: columns }, () => Math.exp(random.normal()) / 127);
      return Float32Array.from({ length: rows * columns }, (_, i) => {
        const level = Math.max(-127, Math.min(127, Math.round(40 * random.normal())));
        const line = byColumn ? i % columns : Math.floor(i / columns);
        // A line of zeros has no scale.
        return line === 3 || level === 0 ? 0 : Math.fround(level * scales[line]);
      });
    };
    for (const byColumn of [false, true]) {
      const values = rounded(byColumn);
      const body = roundTrip("float32", [rows, columns], bytesOf(values));
      // log2(40 sqrt(2 pi e)) = 7.4 bits a level, and 4 bytes for each scale.
      expect(body.length).toBeLessThan((7.6 * rows * columns) / 8 + 4 * columns + 30);
    }
    // One element off its grid leaves none.
    const values = rounded(false);
    values[777] += 1e-3;
    expect(roundTrip("float32", [rows, columns], bytesOf(values)).length).toBeGreaterThan(5000);
  });
});
