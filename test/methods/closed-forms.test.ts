/** @file What the equations behind the methods promise, against references of the tests' own. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import * as ort from "onnxruntime-node";
import { afterAll, describe, expect, test } from "vitest";
import type { Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Environment } from "../../src/recipe/environment.ts";
import { webWasm } from "../../src/targets/web-wasm.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { relativeError } from "../support/error.ts";
import { kindOf, layerModel, partOf, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const env: Environment = environmentOf(nets[0], { calibration: null });
const bytesOf = (model: Model): Uint8Array => concat(writeModel(model));
const random = createRandom(23);

function normal(length: number, scale = 1): Float32Array {
  return Float32Array.from({ length }, () => random.normal() * scale);
}

/** Row-major a [n, k] times b [k, m]. */
function product(a: ArrayLike<number>, b: ArrayLike<number>, n: number, k: number, m: number) {
  const c = new Float64Array(n * m);
  for (let i = 0; i < n; i++)
    for (let l = 0; l < k; l++)
      for (let j = 0; j < m; j++) c[i * m + j] += a[i * k + l] * b[l * m + j];
  return c;
}

/** A matrix whose singular values fall off, as those of trained layers do. */
function decaying(rows: number, columns: number): Float32Array {
  const inner = Math.min(rows, columns);
  const left = normal(rows * inner);
  for (let i = 0; i < rows; i++) for (let k = 0; k < inner; k++) left[i * inner + k] /= 1 + k;
  return Float32Array.from(product(left, normal(inner * columns), rows, inner, columns));
}

/** Singular values by one-sided Jacobi rotations of the rows, descending. */
function singularValues(matrix: Float32Array, rows: number, columns: number): number[] {
  const a = Array.from({ length: rows }, (_, i) =>
    Float64Array.from(matrix.subarray(i * columns, (i + 1) * columns)),
  );
  const dot = (x: Float64Array, y: Float64Array): number =>
    x.reduce((sum, v, i) => sum + v * y[i], 0);
  for (let sweep = 0; sweep < 30; sweep++) {
    for (let p = 0; p < rows; p++) {
      for (let q = p + 1; q < rows; q++) {
        const [pp, qq, pq] = [dot(a[p], a[p]), dot(a[q], a[q]), dot(a[p], a[q])];
        if (Math.abs(pq) < 1e-14 * Math.sqrt(pp * qq)) continue;
        const zeta = (qq - pp) / (2 * pq);
        const t = Math.sign(zeta || 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
        const c = 1 / Math.sqrt(1 + t * t);
        const [x, y] = [a[p], a[q]];
        a[p] = x.map((v, i) => c * (v - t * y[i]));
        a[q] = y.map((v, i) => c * (v + t * x[i]));
      }
    }
  }
  return a.map((row) => Math.sqrt(dot(row, row))).sort((x, y) => y - x);
}

describe("factor-svd", () => {
  const [rows, columns] = [40, 56];
  const W = decaying(columns, rows);
  const model = layerModel(["N", columns], (g, x) =>
    g.Gemm(x, g.constant(W, { shape: [columns, rows] }), g.constant(normal(rows))),
  );

  /** Rank, and the error of down * up against W. */
  async function factored(energy: number): Promise<{ rank: number; error: number } | null> {
    const result = await apply(model, "factor-svd", { energy, multiple: 1 }, env);
    const factors = weightsIn(result.model);
    if (factors.length === 1) return null;
    const [down, up] = factors.map(({ weight }) => weight);
    const rank = down.shape[1];
    expect([down.shape, up.shape]).toEqual([
      [columns, rank],
      [rank, rows],
    ]);
    const P = product(down.values, up.values, columns, rank, rows);
    return { rank, error: Math.sqrt(W.reduce((sum, w, i) => sum + (w - P[i]) ** 2, 0)) };
  }

  test("the error is the tail of the singular values, and falls with the rank", async () => {
    const s = singularValues(W, columns, rows);
    let last = { rank: 0, error: Infinity };
    for (const energy of [0.3, 0.6, 0.8, 0.9, 0.97, 0.99]) {
      const found = (await factored(energy))!;
      const tail = Math.sqrt(s.slice(found.rank).reduce((sum, x) => sum + x * x, 0));
      expect(Math.abs(found.error / tail - 1)).toBeLessThan(1e-4);
      const total = s.reduce((sum, x) => sum + x * x, 0);
      expect(tail ** 2 / total).toBeLessThanOrEqual(1 - energy);
      expect(found.error).toBeLessThanOrEqual(last.error);
      expect(found.rank).toBeGreaterThanOrEqual(last.rank);
      last = found;
    }
  });

  test("is refused from the break-even rank mn / (m + n) on", async () => {
    // 40 * 56 / 96 = 23.3: rank 23 saves work, rank 24 does not.
    for (let energy = 0.9; energy < 1; energy += 0.002) {
      const found = await factored(energy);
      if (found) expect(found.rank * (rows + columns)).toBeLessThan(rows * columns);
    }
    const flat = layerModel(["N", columns], (g, x) =>
      g.MatMul(x, g.constant(normal(columns * rows), { shape: [columns, rows] })),
    );
    const { model: left, skipped } = await apply(
      flat,
      "factor-svd",
      { energy: 0.99, multiple: 1 },
      env,
    );
    expect(Buffer.compare(bytesOf(left), bytesOf(flat))).toBe(0);
    expect(skipped[0].reason).toMatch(/^needs rank \d+; only 23 or less would save work$/);
  });

  test("ranks are rounded up to the multiple", async () => {
    const result = await apply(model, "factor-svd", { energy: 0.99, multiple: 5 }, env);
    expect(weightsIn(result.model)[0].weight.shape[1] % 5).toBe(0);
  });

  test("a layer of zeros keeps one rank", async () => {
    const zeros = layerModel(["N", 8, 9, 9], (g, x) =>
      g.Conv(x, g.constant(new Float32Array(32 * 72), { shape: [32, 8, 3, 3] })),
    );
    const { model, bytes } = await apply(zeros, "factor-svd", {}, env);
    expect(weightsIn(model).map(({ weight }) => weight.shape)).toEqual([
      [1, 8, 3, 3],
      [32, 1, 1, 1],
    ]);
    const feeds = { x: tensor("float32", [2, 8, 9, 9], normal(2 * 648)) };
    expect((await outputsOf(bytes, feeds)).y.floats().every((y) => y === 0)).toBe(true);
  });

  const geometries = [
    { pads: [1, 1, 1, 1] },
    { strides: [2, 2], pads: [1, 1, 1, 1] },
    { dilations: [2, 2], pads: [2, 2, 2, 2] },
    { auto_pad: "SAME_UPPER", strides: [2, 1] },
    { pads: [0, 2, 1, 0], strides: [1, 2], dilations: [1, 2] },
  ];

  test.each(geometries)("a convolution of %j is its matrix form", async (geometry) => {
    const shape = [32, 16, 3, 3];
    const conv = (W: Float32Array, bias: Float32Array | null): Model =>
      layerModel([2, 16, 9, 11], (g, x) =>
        g.Conv(x, g.constant(W, { shape }), bias && g.constant(bias), geometry),
      );
    for (const bias of [null, normal(32)]) {
      const start = conv(decaying(32, 144), bias);
      const { model, bytes } = await apply(start, "factor-svd", { energy: 0.9 }, env);
      const [down, up] = weightsIn(model).map(({ weight }) => weight);
      const rank = down.shape[0];
      expect([down.shape, up.shape]).toEqual([
        [rank, 16, 3, 3],
        [32, rank, 1, 1],
      ]);
      const joined = Float32Array.from(product(up.values, down.values, 32, rank, 144));
      const feeds = { x: tensor("float32", [2, 16, 9, 11], normal(2 * 16 * 99)) };
      const expected = await outputsOf(bytesOf(conv(joined, bias)), feeds);
      expect(relativeError(expected, await outputsOf(bytes, feeds))).toBeLessThan(1e-5);
    }
  });

  test.each([{}, { alpha: 0.5 }, { beta: 2 }, { transB: 1 }, { alpha: -2, beta: 0.5, transB: 1 }])(
    "Gemm %j",
    async (attributes) => {
      const isTurned = "transB" in attributes;
      const turned = isTurned ? [rows, columns] : [columns, rows];
      const start = layerModel(["N", columns], (g, x) =>
        g.Gemm(
          x,
          g.constant(decaying(turned[0], turned[1]), { shape: turned }),
          g.constant(normal(rows)),
          attributes,
        ),
      );
      const { bytes } = await apply(start, "factor-svd", { energy: 0.9999, multiple: 1 }, env);
      const feeds = { x: tensor("float32", [3, columns], normal(3 * columns)) };
      const error = relativeError(
        await outputsOf(bytesOf(start), feeds),
        await outputsOf(bytes, feeds),
      );
      expect(error).toBeLessThan(0.03);
    },
  );

  describe("weighting=activations", () => {
    // Loud directions and quiet ones: what the weights' own spectrum does not show.
    const records = 64;
    const mixed = product(
      normal(records * columns),
      decaying(columns, columns),
      records,
      columns,
      columns,
    );
    const feeds = { x: tensor("float32", [records, columns], mixed) };
    const observed = environmentOf(nets[0], { calibration: tensorDataset(feeds) });
    const start = layerModel(["N", columns], (g, x) =>
      g.MatMul(x, g.constant(normal(columns * rows), { shape: [columns, rows] })),
    );
    const weighted = { weighting: "activations", records, damping: 1e-6, multiple: 1 };

    test("energy is what the outputs keep of theirs", async () => {
      const { y } = await outputsOf(bytesOf(start), feeds);
      const squares = (v: Float32Array): number => v.reduce((sum, x) => sum + x * x, 0);
      let last = 0;
      for (const energy of [0.5, 0.8, 0.9, 0.97, 0.99]) {
        const options = { ...weighted, energy };
        const { model, bytes, warnings } = await apply(start, "factor-svd", options, observed);
        expect(warnings).toEqual([]);
        const kept = (await outputsOf(bytes, feeds)).y.floats();
        const lost = squares(y.floats().map((x, i) => x - kept[i])) / squares(y.floats());
        expect(lost).toBeLessThan((1 - energy) * (1 + 1e-3));
        const [{ weight }] = weightsIn(model);
        const rank = weight.shape[1];
        expect(rank).toBeGreaterThanOrEqual(last);
        last = rank;
        // It is the least rank that loses no more.
        const fewer = { ...options, energy: 1 - 1.001 * lost };
        const again = await apply(start, "factor-svd", fewer, observed);
        expect(weightsIn(again.model)[0].weight.shape[1]).toBe(rank);
      }
    });

    test("says what it needs, and what it does without", async () => {
      await expect(apply(start, "factor-svd", weighted, env)).rejects.toThrow(
        "needs-data: factor-svd: needs data to calibrate on",
      );
      const net = nets.find(({ name }) => name === "if")!;
      const options = { ...weighted, damping: 0.01, energy: 0.3 };
      const { warnings } = await apply(net.model, "factor-svd", options, environmentOf(net));
      expect(warnings).toEqual([
        "then_matmul1 is inside a branch or loop: factored without data",
        "else_matmul1 is inside a branch or loop: factored without data",
      ]);
    });
  });
});

describe("share-weights", () => {
  const W = normal(4000);
  const model = layerModel(["N", 50], (g, x) => g.MatMul(x, g.constant(W, { shape: [50, 80] })));

  test.each(["linear", "density", "random", "optimal"])(
    "more bits, less error: %s",
    async (init) => {
      let last = Infinity;
      for (const bits of [1, 2, 3, 4, 5, 6, 7, 8]) {
        const result = await apply(model, "share-weights", { bits, init }, env);
        const [{ weight }] = weightsIn(result.model);
        expect(new Set(weight.values).size).toBeLessThanOrEqual(2 ** bits);
        const error = W.reduce((sum, w, i) => sum + (w - weight.values[i]) ** 2, 0);
        expect(error).toBeLessThanOrEqual(last);
        last = error;
      }
    },
  );

  test("each weight takes the nearest entry, each entry the mean of its weights", async () => {
    const result = await apply(model, "share-weights", { bits: 4, init: "optimal" }, env);
    const { weight } = weightsIn(result.model)[0];
    const codebook = Array.from(partOf(weight, "codebook"));
    const index = partOf(weight, "index");
    for (const [entry, centre] of codebook.entries()) {
      const members = W.filter((_, i) => index[i] === entry);
      expect(members.reduce((a, b) => a + b, 0) / members.length).toBeCloseTo(centre, 5);
    }
    for (let i = 0; i < W.length; i++) {
      const gaps = codebook.map((c) => Math.abs(c - W[i]));
      expect(gaps[index[i]]).toBeLessThanOrEqual(Math.min(...gaps) + 1e-6);
    }
  });

  test("pruned weights stay zero", async () => {
    const pruned = await apply(model, "prune-magnitude", { sparsity: 0.7 }, env);
    const shared = await apply(pruned.model, "share-weights", { bits: 3 }, env);
    const [before] = weightsIn(pruned.model);
    const [after] = weightsIn(shared.model);
    expect(after.weight.values.every((w, i) => w === 0 || before.weight.values[i] !== 0)).toBe(
      true,
    );
    expect(new Set(after.weight.values).size).toBeLessThanOrEqual(8);
  });
});

describe("quantize-weights", () => {
  test("the error is at most half a step", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 2, max: 8 }),
        fc.constantFrom(0, 8, 16),
        fc.integer({ min: 0, max: 1e6 }),
        async (bits, block, seed) => {
          const draw = createRandom(seed);
          const W = Float32Array.from({ length: 48 * 20 }, () => draw.normal() * (1 + draw.int(3)));
          const start = layerModel(["N", 48], (g, x) =>
            g.MatMul(x, g.constant(W, { shape: [48, 20] })),
          );
          const result = await apply(
            start,
            "quantize-weights",
            { bits, block, scale: "minmax" },
            env,
          );
          const { weight } = weightsIn(result.model)[0];
          const { values } = weight;
          const scale = partOf(weight, "scale");
          expect(scale.length).toBe(block === 0 ? 20 : (20 * 48) / block);
          for (let i = 0; i < W.length; i++) {
            const [row, column] = [Math.floor(i / 20), i % 20];
            const step = scale[block === 0 ? column : Math.floor(row / block) * 20 + column];
            expect(Math.abs(values[i] - W[i])).toBeLessThanOrEqual(0.5 * step * (1 + 1e-5));
          }
        },
      ),
      { numRuns: 30 },
    );
  });

  describe("kernel=integer", () => {
    const folder = mkdtempSync(join(tmpdir(), "tersor-kernel-"));
    afterAll(() => rmSync(folder, { recursive: true }));
    const options = { kernel: "integer", bits: 4 };
    const feeds = { x: tensor("float32", [2, 64], normal(128)) };
    const layers = {
      MatMul: layerModel(["N", 64], (g, x) =>
        g.MatMul(x, g.constant(normal(2048), { shape: [64, 32] })),
      ),
      Gemm: layerModel(["N", 64], (g, x) =>
        g.Gemm(x, g.constant(normal(2048), { shape: [64, 32] }), g.constant(normal(32))),
      ),
      "Gemm, transB": layerModel(["N", 64], (g, x) =>
        g.Gemm(x, g.constant(normal(2048), { shape: [32, 64] }), g.constant(normal(32)), {
          transB: 1,
        }),
      ),
    };

    /** The operators that the engine really runs. */
    async function kernels(bytes: Uint8Array): Promise<string[]> {
      const path = join(folder, "optimized.onnx");
      const session = await ort.InferenceSession.create(bytes, {
        optimizedModelFilePath: path,
        logSeverityLevel: 4,
      });
      await session.release();
      const { graph } = readModel(readFileSync(path), { name: path });
      return [...graph.nodes].map(({ op }) => op);
    }

    test.each(Object.entries(layers))("%s runs in n bits", async (_, start) => {
      for (const bits of [4, 8]) {
        for (const block of [0, 16, 32, 64]) {
          const float = await apply(start, "quantize-weights", { bits, block }, env);
          const integer = await apply(
            start,
            "quantize-weights",
            { kernel: "integer", bits, block },
            env,
          );
          expect(integer.warnings).toEqual([]);
          expect(await kernels(integer.bytes)).toEqual(["MatMulNBits"]);
          expect(integer.bytes.length).toBeLessThan(bytesOf(start).length / 2);
          // The engine rounds activations to 8 bits there.
          const [expected, got] = [float, integer].map(({ bytes }) => outputsOf(bytes, feeds));
          expect(relativeError(await expected, await got)).toBeLessThan(0.02);
        }
      }
    });

    test.each([
      ["MatMul", [64, 1], {}],
      ["Gemm", [1, 64], { transB: 1 }],
    ] as const)("%s with a single output, weight %j", async (op, shape, attributes) => {
      const start = layerModel(["N", 64], (g, x) => {
        const w = g.constant(normal(64), { shape });
        return op === "Gemm" ? g.Gemm(x, w, null, attributes) : g.MatMul(x, w);
      });
      for (const block of [0, 32]) {
        const [float, integer] = await Promise.all(
          ["float", "integer"].map((kernel) =>
            apply(start, "quantize-weights", { bits: 8, block, kernel }, env),
          ),
        );
        const expected = await outputsOf(float.bytes, feeds);
        expect(relativeError(expected, await outputsOf(integer.bytes, feeds))).toBeLessThan(0.02);
      }
    });

    test("where there is no such kernel, weights are unpacked at load, with a warning", async () => {
      const web = { ...env, target: webWasm };
      for (const [given, where, why] of [
        [{ ...options, block: 24 }, env, "there is no n-bit MatMul for blocks of 24"],
        [{ ...options, bits: 3 }, env, "there is no 3-bit MatMul"],
        [options, web, "the n-bit MatMul is slow on web-wasm"],
      ] as const) {
        const result = await apply(layers.Gemm, "quantize-weights", given, where);
        expect(result.warnings[0]).toBe(`${why}: weights are unpacked at load`);
        expect(await kernels(result.bytes)).toEqual(["Gemm"]);
      }
    });
  });
});

describe("pruning", () => {
  const zerosOf = (values: Float32Array): number => values.filter((w) => w === 0).length;
  const shapes = [
    [30, 40],
    [40, 25],
    [25, 8],
  ] as const;
  const chain = (make: (length: number) => Float32Array): Model =>
    layerModel(["N", 30], (g, x) =>
      shapes.reduce((y, shape) => g.MatMul(y, g.constant(make(shape[0] * shape[1]), { shape })), x),
    );
  const levels = (length: number): Float32Array =>
    Float32Array.from({ length }, () => (random.int(7) - 3) / 4);

  test.each([
    ["distinct weights", normal],
    ["ties and zeros", levels],
    ["mostly zeros", (n: number) => normal(n).map((w) => (random.float() < 0.85 ? 0 : w))],
  ] as const)("exact counts, the smallest go: %s", async (_, make) => {
    const start = chain(make);
    const before = weightsIn(start).map(({ weight }) => weight.values);
    for (const id of ["prune-magnitude", "prune-random"] as const) {
      for (const sparsity of [0.1, 0.5, 0.777, 0.9]) {
        const layer = await apply(start, id, { sparsity }, env);
        for (const [i, { weight }] of weightsIn(layer.model).entries()) {
          const wanted = Math.round(sparsity * before[i].length);
          expect(zerosOf(weight.values)).toBe(Math.max(wanted, zerosOf(before[i])));
          expectKept(before[i], weight.values, id === "prune-magnitude");
        }
        const whole = await apply(start, id, { sparsity, scope: "global" }, env);
        const after = weightsIn(whole.model).map(({ weight }) => weight.values);
        const join = (parts: Float32Array[]): Float32Array =>
          Float32Array.from(parts.flatMap((p) => [...p]));
        const all = join(before);
        expect(zerosOf(join(after))).toBe(
          Math.max(Math.round(sparsity * all.length), zerosOf(all)),
        );
        expectKept(all, join(after), id === "prune-magnitude");
      }
    }
  });

  /** Survivors are untouched, and none is smaller than one that fell. */
  function expectKept(before: Float32Array, after: Float32Array, bySize: boolean): void {
    let fallen = 0;
    let standing = Infinity;
    for (let i = 0; i < before.length; i++) {
      if (after[i] !== 0) {
        expect(after[i]).toBe(before[i]);
        standing = Math.min(standing, Math.abs(after[i]));
      } else fallen = Math.max(fallen, Math.abs(before[i]));
    }
    if (bySize) expect(fallen).toBeLessThanOrEqual(standing);
  }

  test("keeps how weights are stored", async () => {
    const start = chain(normal);
    for (const [id, options] of [
      ["share-weights", { bits: 4 }],
      ["quantize-weights", { bits: 4 }],
      ["store-float16", {}],
    ] as const) {
      const stored = await apply(start, id, options, env);
      const pruned = await apply(stored.model, "prune-magnitude", { sparsity: 0.8 }, env);
      const kinds = (model: Model): string[] =>
        weightsIn(model).map(({ weight }) => kindOf(weight));
      expect(kinds(pruned.model)).toEqual(kinds(stored.model));
      expect(pruned.bytes.length).toBeLessThanOrEqual(stored.bytes.length);
    }
  });
});

describe("quantize-dynamic", () => {
  const [inputs, outputs, records] = [24, 12, 5];
  const W = normal(inputs * outputs, 0.3);
  const bias = normal(outputs);
  const x = normal(records * inputs);
  const feeds = { x: tensor("float32", [records, inputs], x) };

  /** DynamicQuantizeLinear and int8 columns as ONNX defines them, in exact integers. */
  function reference(alpha: number, beta: number, bits: number): Float64Array {
    const even = (v: number): number => {
      const floor = Math.floor(v);
      return v - floor > 0.5 || (v - floor === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
    };
    const f = Math.fround;
    const [min, max] = [Math.min(0, ...x), Math.max(0, ...x)];
    const xScale = f(f(max - min) / 255);
    const zero = even(f(-min / xScale));
    const top = 2 ** (bits - 1) - 1;
    const y = new Float64Array(records * outputs);
    for (let j = 0; j < outputs; j++) {
      const column = Array.from({ length: inputs }, (_, k) => W[k * outputs + j]);
      const scale = f(Math.max(...column.map(Math.abs)) / top);
      for (let n = 0; n < records; n++) {
        let sum = 0;
        for (let k = 0; k < inputs; k++) {
          const level = Math.min(255, Math.max(0, even(f(x[n * inputs + k] / xScale)) + zero));
          sum += (level - zero) * even(f(column[k] / scale));
        }
        y[n * outputs + j] = sum * xScale * scale * alpha + beta * bias[j];
      }
    }
    return y;
  }

  const cases = [
    { alpha: 1, beta: 1, transB: 0 },
    { alpha: 1, beta: 1, transB: 1 },
    { alpha: 0.5, beta: 3, transB: 1 },
    { alpha: -2, beta: 0, transB: 0 },
  ];

  test.each(cases)("Gemm %j", async ({ alpha, beta, transB }) => {
    for (const reduceRange of [false, true]) {
      const turned = Float32Array.from({ length: W.length }, (_, i) =>
        transB ? W[(i % inputs) * outputs + Math.floor(i / inputs)] : W[i],
      );
      const shape = transB ? [outputs, inputs] : [inputs, outputs];
      const start = layerModel(["N", inputs], (g, x) =>
        g.Gemm(x, g.constant(turned, { shape }), g.constant(bias), { alpha, beta, transB }),
      );
      const result = await apply(start, "quantize-dynamic", { reduceRange, scale: "minmax" }, env);
      expect(result.skipped).toEqual([]);
      const { y } = await outputsOf(result.bytes, feeds);
      // Processors on which sums of int8 products saturate get 7 bits in any case.
      const expected = reference(alpha, beta, reduceRange || env.target.saturates ? 7 : 8);
      for (const [i, value] of y.floats().entries()) expect(value).toBeCloseTo(expected[i], 4);
    }
  });

  test("MatMul, one rounding for all readers, stored forms kept", async () => {
    const start = layerModel(["N", 64], (g, x) => {
      const branch = (): ReturnType<typeof g.MatMul> =>
        g.MatMul(x, g.constant(normal(64 * 64), { shape: [64, 64] }));
      return g.Add(g.Add(branch(), branch()), branch());
    });
    const plain = await apply(start, "quantize-dynamic", {}, env);
    const ops = [...plain.model.graph.nodes].map(({ op }) => op);
    expect(ops.filter((op) => op === "DynamicQuantizeLinear").length).toBe(1);
    expect(ops.filter((op) => op === "MatMulInteger").length).toBe(3);
    const shared = await apply(start, "share-weights", { bits: 4 }, env);
    const both = await apply(shared.model, "quantize-dynamic", {}, env);
    expect(both.bytes.length).toBeLessThan(0.7 * plain.bytes.length);
    const wide = { x: tensor("float32", [2, 64], normal(128)) };
    const error = relativeError(
      await outputsOf(shared.bytes, wide),
      await outputsOf(both.bytes, wide),
    );
    expect(error).toBeLessThan(0.03);
  });
});

describe("weights that no method can work on", () => {
  test("infinite ones and those of another type are left alone, with the reason", async () => {
    const infinite = layerModel(["N", 16], (g, x) =>
      g.MatMul(x, g.constant(normal(256).fill(Infinity, 3, 4), { shape: [16, 16] })),
    );
    const half = layerModel(["N", 16], (g, x) => {
      const weight = g.constant(normal(256), { dtype: "float16", shape: [16, 16] });
      return g.Cast(g.MatMul(g.Cast(x, { to: 10 }), weight), { to: 1 });
    });
    for (const id of [
      "quantize-weights",
      "quantize-dynamic",
      "share-weights",
      "prune-magnitude",
      "store-float16",
    ] as const) {
      for (const [start, why] of [
        [infinite, /infinit|finite/],
        [half, /is float16/],
      ] as const) {
        const { bytes, skipped } = await apply(
          start,
          id,
          id === "share-weights" ? { bits: 2 } : {},
          env,
        );
        expect(skipped.map(({ reason }) => reason)).toEqual([expect.stringMatching(why)]);
        expect(Buffer.compare(bytes, bytesOf(start))).toBe(0);
      }
    }
  });
});
