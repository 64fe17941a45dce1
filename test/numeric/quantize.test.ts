import fc from "fast-check";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import type { DType } from "../../src/ir/dtype.ts";
import { roundHalfEven } from "../../src/numeric/level.ts";
import {
  dequantize,
  dequantizeGroups,
  quantize,
  quantizeBlocks,
  quantizeChannels,
  quantParams,
} from "../../src/numeric/quantize.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { type TinyNode, type TinyWeight, tinyModel } from "../support/tiny.ts";

function normals(n: number, seed: number): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length: n }, () => random.normal());
}

/** Runs nodes on x in ONNX Runtime without its graph rewrites. */
async function engine(
  x: Float32Array,
  dims: number[],
  nodes: TinyNode[],
  weights: TinyWeight[],
  outputs: { name: string; dtype?: DType; dims: number[] }[],
) {
  const bytes = tinyModel({ inputs: [{ name: "x", dims }], outputs, nodes, weights });
  const session = await InferenceSession.create(bytes, { graphOptimizationLevel: "disabled" });
  const result = await session.run({ x: new Tensor("float32", x, dims) });
  await session.release();
  return outputs.map(({ name }) => result[name].data as Float32Array | Int8Array | Uint8Array);
}

const q = { op: "QuantizeLinear", inputs: ["x", "scale", "zero"], outputs: ["q"] };
const dq = { op: "DequantizeLinear", inputs: ["q", "scale", "zero"], outputs: ["y"] };

describe("roundHalfEven", () => {
  it("sends ties to the even neighbour", () => {
    expect(
      [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.4999999, -3.7, 1e15 + 0.5].map(roundHalfEven),
    ).toEqual([-2, -2, -0, 0, 2, 2, 2, -4, 1e15].map((x) => x + 0));
  });
});

describe("quantize", () => {
  it("equals ONNX Runtime's QuantizeLinear and DequantizeLinear bit for bit", async () => {
    const random = createRandom(1);
    for (const signed of [false, true]) {
      for (let round = 0; round < 6; round++) {
        const scale = Math.fround([0.1, 1, 1 / 3, 0.5, 7e-5, 3e4][round]);
        const zeroPoint = signed ? [0, -128, 127, -3, 5, 0][round] : [0, 255, 128, 7, 99, 1][round];
        const x = normals(5000, round).map((v) => v * scale * 60);
        // Ties, their neighbours in float32, and the far ends.
        for (let i = 0; i < 1200; i++) {
          const tie = Math.fround((random.int(600) - 300 + 0.5) * scale);
          x[i] = Math.fround(tie * (1 + (random.int(3) - 1) * 2 ** -23));
        }
        x.set([0, -0, 1e30, -1e30, Infinity, -Infinity, 1e-40, -1e-40], 1200);
        const [levels, values] = await engine(
          x,
          [x.length],
          [q, dq],
          [
            { name: "scale", dims: [], data: Float32Array.of(scale) },
            {
              name: "zero",
              dtype: signed ? "int8" : "uint8",
              dims: [],
              data: signed ? Int8Array.of(zeroPoint) : Uint8Array.of(zeroPoint),
            },
          ],
          [
            { name: "q", dtype: signed ? "int8" : "uint8", dims: [x.length] },
            { name: "y", dims: [x.length] },
          ],
        );
        const ours = quantize(x, { scale, zeroPoint }, { signed });
        expect(ours).toEqual(levels);
        expect(dequantize(ours, { scale, zeroPoint })).toEqual(values);
      }
    }
  });

  it("takes ranges as ONNX Runtime's DynamicQuantizeLinear does", async () => {
    const random = createRandom(2);
    for (let round = 0; round < 40; round++) {
      const size = 10 ** (random.float() * 12 - 6);
      const shift = random.int(3) - 1;
      const x = normals(64, round).map((v) => (v + 2 * shift) * size);
      const outputs = [
        { name: "y", dtype: "uint8", dims: [64] },
        { name: "s", dims: [] },
        { name: "z", dtype: "uint8", dims: [] },
      ] as const;
      const [y, s, z] = await engine(
        x,
        [64],
        [{ op: "DynamicQuantizeLinear", inputs: ["x"], outputs: ["y", "s", "z"] }],
        [],
        outputs.map((o) => ({ ...o, dims: [...o.dims] })),
      );
      const params = quantParams(Math.min(...x), Math.max(...x));
      expect([params.scale, params.zeroPoint]).toEqual([s[0], z[0]]);
      expect(quantize(x, params)).toEqual(y);
    }
  });
});

describe("quantParams", () => {
  it("represents 0 exactly and covers the range within half a step", () => {
    fc.assert(
      fc.property(
        fc.float({ noNaN: true, noDefaultInfinity: true, min: -(2 ** 100), max: 2 ** 100 }),
        fc.float({ noNaN: true, noDefaultInfinity: true, min: -(2 ** 100), max: 2 ** 100 }),
        fc.integer({ min: 2, max: 8 }),
        fc.boolean(),
        fc.boolean(),
        (a, b, bits, signed, symmetric) => {
          const [min, max] = a < b ? [a, b] : [b, a];
          const options = { bits, signed, symmetric };
          const params = quantParams(min, max, options);
          expect(Number.isInteger(params.zeroPoint)).toBe(true);
          expect(Math.fround(params.scale)).toBe(params.scale);
          const values = Float32Array.of(0, min, max);
          const back = dequantize(quantize(values, params, options), params);
          expect(back[0]).toBe(0);
          // Beyond half a step only by what float32 rounds.
          const within = params.scale * 0.5001 + Math.max(-min, max) * 2 ** -22;
          if (min <= 0) expect(Math.abs(back[1] - min)).toBeLessThanOrEqual(within);
          if (max >= 0) expect(Math.abs(back[2] - max)).toBeLessThanOrEqual(within);
        },
      ),
      { numRuns: 500 },
    );
  });

  it("gives the zero points the int8 kernels want", () => {
    expect(quantParams(0, 6).zeroPoint).toBe(0);
    expect(quantParams(3, 6)).toEqual(quantParams(0, 6));
    expect(quantParams(-3, 0).zeroPoint).toBe(255);
    expect(quantParams(-2, 1, { signed: true, symmetric: true })).toEqual({
      scale: Math.fround(2 / 127),
      zeroPoint: 0,
    });
    expect(quantParams(-1, 1, { symmetric: true }).zeroPoint).toBe(128);
    expect(quantParams(0, 0)).toEqual({ scale: 1, zeroPoint: 0 });
    expect(() => quantParams(0, Number.POSITIVE_INFINITY)).toThrow(
      "bad-number: quantize: the range",
    );
    expect(() => quantParams(0, 1, { bits: 9 })).toThrow("bits is 9");
  });
});

describe("quantizeChannels and quantizeBlocks", () => {
  const shape = [4, 3, 5];
  const x = normals(60, 3);

  it.each([0, 1, 2])("per channel of axis %i as ONNX Runtime does", async (axis) => {
    for (const symmetric of [true, false]) {
      const quantized = quantizeChannels(x, shape, axis, { bits: 8, symmetric });
      const n = shape[axis];
      expect(quantized.scales.length).toBe(n);
      const zero = quantized.zeroPoints ?? new Int8Array(n);
      const [levels, values] = await engine(
        x,
        shape,
        [
          { ...q, ints: { axis } },
          { ...dq, ints: { axis } },
        ],
        [
          { name: "scale", dims: [n], data: quantized.scales },
          { name: "zero", dtype: "int8", dims: [n], data: zero },
        ],
        [
          { name: "q", dtype: "int8", dims: shape },
          { name: "y", dims: shape },
        ],
      );
      expect(quantized.q).toEqual(levels);
      expect(dequantizeGroups(quantized, shape)).toEqual(values);
      if (symmetric) expect(Math.max(...quantized.q.map(Math.abs))).toBe(127);
    }
  });

  it.each([0, 1])("4 bits by blocks of 16 along axis %i as ONNX Runtime does", async (axis) => {
    const dims = axis === 0 ? [48, 6] : [6, 48];
    const w = normals(288, 4);
    const quantized = quantizeBlocks(w, dims, axis, 16, { bits: 4, symmetric: true });
    const blocks = dims.map((d, i) => (i === axis ? d / 16 : d));
    const ints = { axis, block_size: 16 };
    const [values] = await engine(
      w,
      dims,
      [
        { ...q, ints },
        { ...dq, ints },
      ],
      [
        { name: "scale", dims: blocks, data: quantized.scales },
        { name: "zero", dtype: "int4", dims: blocks, data: new Uint8Array(9) },
      ],
      [{ name: "y", dims }],
    );
    expect(dequantizeGroups(quantized, dims)).toEqual(values);
  });

  it("equals the plain definition for every axis, block and kind of values", () => {
    const random = createRandom(8);
    for (const shape of [[5], [6, 1], [1, 9], [12, 7], [4, 3, 5], [2, 9, 1, 3]]) {
      const size = shape.reduce((a, b) => a * b, 1);
      const values = Float32Array.from({ length: size }, () => random.normal());
      values[random.int(size)] = NaN; // gets the least level, and counts for no range
      for (const axis of shape.keys()) {
        for (const block of [null, 1, 2, 4, 16]) {
          const perOuter = shape.slice(axis).reduce((a, b) => a * b, 1);
          const inner = perOuter / shape[axis];
          // What shares a scale: the index of the channel, or all indices with that of the block.
          const keys = Array.from(values, (_, i) => {
            const at = Math.floor(i / inner) % shape[axis];
            if (block === null) return `${at}`;
            return `${Math.floor(i / perOuter)} ${Math.floor(at / block)} ${i % inner}`;
          });
          const largest = new Map<string, number>();
          keys.forEach((key, i) => {
            const x = Number.isNaN(values[i]) ? 0 : Math.abs(values[i]);
            largest.set(key, Math.max(largest.get(key) ?? 0, x));
          });
          const options = { bits: 4, symmetric: true } as const;
          const { q, scales } =
            block === null
              ? quantizeChannels(values, shape, axis, options)
              : quantizeBlocks(values, shape, axis, block, options);
          const steps = [...largest.values()].map((x) => Math.fround(x / 7) || 1);
          expect([...scales]).toEqual(steps);
          const step = new Map([...largest.keys()].map((key, i) => [key, steps[i]]));
          const levels = Array.from(values, (x, i) => {
            const level = Math.fround(x / (step.get(keys[i]) as number));
            return Number.isNaN(x) ? -8 : roundHalfEven(level) + 0;
          });
          expect([...q]).toEqual(levels);
        }
      }
    }
  });

  it("covers the last, shorter block", () => {
    const quantized = quantizeBlocks(Float32Array.of(1, 2, 3, 4, 70), [5], 0, 2, {
      bits: 8,
      symmetric: true,
    });
    expect([...quantized.scales]).toEqual([2, 4, 70].map((m) => Math.fround(m / 127)));
    expect([...quantized.q]).toEqual([64, 127, 95, 127, 127]);
  });

  it("errs by half a step at most, and searching never errs more", () => {
    fc.assert(
      fc.property(
        fc.array(fc.float({ min: -100, max: 100, noNaN: true }), { minLength: 12, maxLength: 12 }),
        fc.constantFrom<number | null>(null, 0, 1),
        fc.integer({ min: 2, max: 8 }),
        fc.boolean(),
        (list, axis, bits, symmetric) => {
          const values = Float32Array.from(list);
          const error = (search: "minmax" | "mse") => {
            const quantized = quantizeChannels(values, [3, 4], axis, { bits, symmetric, search });
            const back = dequantizeGroups(quantized, [3, 4]);
            if (search === "minmax") {
              back.forEach((y, i) => {
                const group = axis === null ? 0 : axis === 0 ? Math.floor(i / 4) : i % 4;
                // Asymmetric: rounding the zero point may cut half a step off one end.
                const within = quantized.scales[group] * (symmetric ? 0.5001 : 1.0001) + 1e-5;
                expect(Math.abs(y - values[i])).toBeLessThanOrEqual(within);
              });
            }
            return back.reduce((sum, y, i) => sum + (y - values[i]) ** 2, 0);
          };
          expect(error("mse")).toBeLessThanOrEqual(error("minmax") * (1 + 1e-6));
        },
      ),
    );
  });

  it("finds nearly the best scale there is", () => {
    for (const bits of [2, 3, 4, 8]) {
      for (let seed = 0; seed < 3; seed++) {
        const values = normals(256, seed).map((v) => v * v * v);
        const { q: levels, scales } = quantizeChannels(values, [256], null, {
          bits,
          symmetric: true,
          search: "mse",
        });
        const found = values.reduce((sum, v, i) => sum + (v - levels[i] * scales[0]) ** 2, 0);
        const largest = Math.max(...values.map(Math.abs));
        let best = Number.POSITIVE_INFINITY;
        for (let step = 1; step <= 2000; step++) {
          const scale = (largest * step) / 1000 / (2 ** (bits - 1) - 1);
          const error = values.reduce((sum, v) => {
            const level = Math.max(
              -(2 ** (bits - 1)),
              Math.min(2 ** (bits - 1) - 1, Math.round(v / scale)),
            );
            return sum + (v - level * scale) ** 2;
          }, 0);
          best = Math.min(best, error);
        }
        expect(found).toBeLessThan(best * 1.05);
      }
    }
  });

  it("keeps an all-zero channel at scale 1", () => {
    const { q: levels, scales } = quantizeChannels(Float32Array.of(0, 0, 3, -4), [2, 2], 0, {
      bits: 8,
      symmetric: true,
      search: "mse",
    });
    expect(scales[0]).toBe(1);
    expect([...levels.subarray(0, 2)]).toEqual([0, 0]);
  });
});
