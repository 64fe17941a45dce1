/** @file Deltas: models packed against a base; exactly, within the error of int8, and damaged. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DecodeError, unpack } from "../../src/load.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { packModel } from "../../src/onnx/pack.ts";
import { readBase } from "../../src/onnx/pack-base.ts";
import { unpack as unpackPlainly } from "../../src/unpack.ts";
import { resealed } from "../codec/forge.ts";
import { type TinyWeight, tinyModel } from "../support/tiny.ts";

const random = createRandom(5);
const normal = (length: number, scale: number) =>
  Float32Array.from({ length }, () => random.normal() * scale);
const plus = (a: Float32Array, b: Float32Array) => a.map((x, i) => x + b[i]);

/** A model with these weights, one MatMul for each matrix of 40 rows. */
function modelOf(weights: readonly TinyWeight[]): Uint8Array {
  const nodes = weights.map(({ name }, i) => ({
    ...{ op: "Cast", inputs: [name], outputs: [`y${i}`], ints: { to: 1 } },
  }));
  const outputs = weights.map(({ dims }, i) => ({ name: `y${i}`, dims }));
  return tinyModel({ inputs: [], outputs, nodes, weights });
}
const matrix = (name: string, data: Float32Array, rows = 40): TinyWeight => ({
  ...{ name, dims: [rows, data.length / rows], data },
});

/** The tensors of a model in the order of its outputs. */
async function tensorsOf(packed: Uint8Array, base: Uint8Array): Promise<Uint8Array[]> {
  const file = await unpack(packed, { base });
  const read = await readBase(file, { where: "", external: null });
  return read.tensors.map(({ bytes }) => bytes);
}
async function packOn(base: Uint8Array, model: Uint8Array, exact = false) {
  const read = await readBase(base, { where: "base", external: null });
  return packModel(model, { base: read, exact });
}
const floats = (bytes: Uint8Array) => new Float32Array(new Uint8Array(bytes).buffer);
const bytesOf = ({ data }: TinyWeight) =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

const A = normal(1600, 0.1);
const B = normal(1600, 0.1);
const bias = normal(60, 1);
const base = modelOf([matrix("a", A), matrix("b", B), { name: "c", dims: [60], data: bias }]);

describe("exact", () => {
  test("every bit is kept: changed signs, zeros, halves, integers; infinities", async () => {
    const W = plus(A, normal(1600, 0.001));
    W.set([-A[0], 0, -0, 3e38, -3e38, Infinity, NaN], 0);
    const bits = (length: number) => Float32Array.from({ length }, () => random.int(2 ** 16));
    const others = (values: Float32Array): TinyWeight[] => [
      { name: "h", dtype: "float16", dims: [200], data: Uint16Array.from(values) },
      { name: "u", dtype: "uint8", dims: [200], data: Uint8Array.from(values) },
      { name: "i", dtype: "int8", dims: [200], data: Int8Array.from(values) },
      { name: "s", dtype: "int16", dims: [200], data: Int16Array.from(values) },
      { name: "l", dtype: "int64", dims: [200], data: BigInt64Array.from([...values].map(BigInt)) },
      { name: "n", dtype: "int32", dims: [200], data: Int32Array.from(values, (x) => x * 65_537) },
    ];
    const from = bits(200);
    const to = from.map((x, i) => (i % 3 ? x + (i % 7) - 3 : (x * 7919) % 2 ** 16));
    const old = modelOf([matrix("a", A), ...others(from)]);
    const tuned = [matrix("a", W), ...others(to)];
    const { bytes, tensors } = await packOn(old, modelOf(tuned), true);
    expect(await tensorsOf(bytes, old)).toEqual(tuned.map(bytesOf));
    expect(tensors.map(({ coder }) => coder)).toContain("base, words");
  });

  test("small steps of float32: an element takes the bits of its step", async () => {
    const words = new Int32Array(A.slice().buffer);
    for (let i = 0; i < words.length; i++) words[i] += (i % 4) - 1;
    const W = new Float32Array(words.buffer);
    const { bytes, tensors } = await packOn(base, modelOf([matrix("a", W)]), true);
    expect(await tensorsOf(bytes, base)).toEqual([new Uint8Array(words.buffer)]);
    expect(tensors[0].body.length).toBeLessThan(1600 / 4 + 100);
  });

  test("a tensor that the base has is a reference, whatever its name", async () => {
    const swapped = [matrix("b", A), matrix("a", B), { name: "z", dims: [60], data: bias }];
    const { bytes, tensors } = await packOn(base, modelOf(swapped));
    expect(tensors.map(({ coder }) => coder)).toEqual(["base", "base", "base"]);
    expect(tensors.map(({ body }) => body.length)).toEqual([17, 17, 17]);
    expect(await tensorsOf(bytes, base)).toEqual(swapped.map(bytesOf));
  });
});

describe("within the error of int8", () => {
  test("rounded differences: no element is further off than by int8; the bias keeps its bits", async () => {
    const W = plus(A, normal(1600, 0.004));
    const c = plus(bias, normal(60, 0.01));
    const tuned = [matrix("a", W), { name: "c", dims: [60], data: c }];
    const { bytes, tensors } = await packOn(base, modelOf(tuned));
    expect(tensors[0].coder).toBe("base, sum");
    const [got, gotBias] = await tensorsOf(bytes, base);
    expect(gotBias).toEqual(bytesOf(tuned[1]));
    const restored = floats(got);
    for (let row = 0; row < 40; row++) {
      const part = (all: Float32Array) => all.subarray(row * 40, row * 40 + 40);
      const step = Math.max(...part(W).map(Math.abs)) / 127;
      const error = part(restored).map((x, i) => Math.abs(x - part(W)[i]));
      expect(Math.max(...error)).toBeLessThanOrEqual((step / 2) * 1.00001);
    }
    expect(restored).not.toEqual(W);
    // A step is a quarter to half of sigma: log2(sqrt(2 pi e) sigma / step) < 4 bits, and the scales.
    expect(tensors[0].body.length).toBeLessThan((1600 * 4.4) / 8 + 40 * 4 + 100);
  });

  test("a small change is kept: a 48th of its energy is lost", async () => {
    const d = normal(1600, 1e-5);
    const W = plus(A, d);
    const { bytes } = await packOn(base, modelOf([matrix("a", W)]));
    const restored = floats((await tensorsOf(bytes, base))[0]);
    const error = restored.reduce((sum, x, i) => sum + (x - W[i]) ** 2, 0);
    const change = W.reduce((sum, x, i) => sum + (x - A[i]) ** 2, 0);
    expect(error).toBeLessThan(change / 40);
    expect(error).toBeGreaterThan(change / 60);
  });

  test("a change of rank 2 is a product of rank 2, with no more error", async () => {
    const size = 128;
    const big = normal(size * size, 0.1);
    const [u, v] = [normal(2 * size, 0.05), normal(2 * size, 0.05)];
    const d = big.map((_, i) => {
      const [row, column] = [Math.floor(i / size), i % size];
      return u[row] * v[column] + u[size + row] * v[size + column];
    });
    const W = plus(big, d);
    const from = modelOf([matrix("a", big, size)]);
    const { bytes, tensors } = await packOn(from, modelOf([matrix("a", W, size)]));
    expect(tensors[0].coder).toBe("base, product");
    expect(tensors[0].body.length).toBeLessThan(2 * 2 * size + 200);
    const restored = floats((await tensorsOf(bytes, from))[0]);
    const error = restored.reduce((sum, x, i) => sum + (x - W[i]) ** 2, 0);
    expect(error).toBeLessThanOrEqual(d.reduce((sum, x) => sum + x * x, 0) / 48);
  });
});

test("one direction of a change is a product, what is left is rounded: fewer bytes, no more error", async () => {
  const size = 128;
  const big = normal(size * size, 0.1);
  const [u, v] = [normal(size, 0.1), normal(size, 0.1)];
  const rest = normal(size * size, 0.003);
  const d = rest.map((x, i) => x + u[Math.floor(i / size)] * v[i % size]);
  const from = modelOf([matrix("a", big, size)]);
  const W = plus(big, d);
  const { bytes, tensors } = await packOn(from, modelOf([matrix("a", W, size)]));
  expect(tensors[0].coder).toBe("base, product");
  // Rounded without the product, an element would take log2(0.0104 / 0.003) = 1.8 bits more.
  const { tensors: alone } = await packOn(from, modelOf([matrix("a", plus(big, rest), size)]));
  expect(alone[0].coder).toBe("base, sum");
  expect(tensors[0].body.length).toBeLessThan(alone[0].body.length + 2 * size * 2);
  const restored = floats((await tensorsOf(bytes, from))[0]);
  // Steps are those of rows or of columns.
  const isWithin = (lineOf: (i: number) => number): boolean => {
    const most = new Float32Array(size);
    W.forEach((x, i) => {
      most[lineOf(i)] = Math.max(most[lineOf(i)], Math.abs(x));
    });
    return restored.every((x, i) => Math.abs(x - W[i]) <= (most[lineOf(i)] / 127 / 2) * 1.0001);
  };
  expect(isWithin((i) => Math.floor(i / size)) || isWithin((i) => i % size)).toBe(true);
});

describe("refused", () => {
  const tuned = modelOf([matrix("a", plus(A, normal(1600, 0.004))), matrix("b", B)]);
  const delta = packOn(base, tuned).then(({ bytes }) => bytes);

  test("no base, another base, a base that is no model", async () => {
    const packed = await delta;
    await expect(unpack(packed)).rejects.toThrow("it is a delta: unpack it with its base");
    await expect(unpackPlainly(packed)).rejects.toThrow("it is a delta: unpack it with its base");
    const other = modelOf([matrix("a", B)]);
    await expect(unpack(packed, { base: other })).rejects.toThrow(
      /^the base is another model: it has no tensor [0-9a-f]{8}\.\.\.$/,
    );
    for (const broken of [new Uint8Array([1, 2, 3]), base.subarray(0, base.length - 9)]) {
      await expect(unpack(packed, { base: broken })).rejects.toThrow("the base is no ONNX file");
    }
  });

  test("a base may be packed, and still on its way", async () => {
    const packed = await delta;
    const expected = await unpack(packed, { base });
    const packedBase = packModel(base).bytes;
    expect(await unpack(packed, { base: Promise.resolve(packedBase) })).toEqual(expected);
    expect(await unpack(packed, { base: unpack(packedBase) })).toEqual(expected);
    expect(await unpack(packedBase, { base })).toEqual(await unpack(packedBase));
  });

  test("forged bytes behind a right checksum: a DecodeError or a model of bounded size", async () => {
    const exact = (await packOn(base, tuned, true)).bytes;
    for (const packed of [await delta, exact]) {
      const edit = fc.tuple(fc.nat(packed.length - 5), fc.nat(255));
      await fc.assert(
        fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 3 }), async (edits) => {
          const forged = packed.slice();
          for (const [at, value] of edits) forged[at] = value;
          const outcome = await unpack(resealed(forged), { base }).catch((error) => error);
          if (outcome instanceof Error) expect(outcome).toBeInstanceOf(DecodeError);
          else expect(outcome.length).toBeLessThan(2 ** 22 + 4096 * packed.length + 20_000);
        }),
        { numRuns: 6 },
      );
    }
  });

  test("references alone cannot fill the memory", async () => {
    const weights = (count: number) => Array.from({ length: count }, (_, i) => matrix(`w${i}`, A));
    const large = normal(2 ** 20, 1);
    const from = modelOf([matrix("a", large, 1024)]);
    const many = [0, 1, 2].map((i) => matrix(`w${i}`, large, 1024));
    const { tensors } = await packOn(from, modelOf(many));
    // The base's bytes and those of the limit once; the third copy is stored as it is.
    expect(tensors.map(({ coder }) => coder)).toEqual(["base", "base", "raw"]);
    expect((await packOn(base, modelOf(weights(9)))).tensors.length).toBe(9);
  });
});
