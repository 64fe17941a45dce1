/** @file Quantized embeddings: rows as written by hand, and look-ups that the engine keeps small. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import type { Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { countParams } from "../../src/measure/params.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { readModel } from "../../src/onnx/read.ts";
import { costModel } from "../../src/ops/cost.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { nets } from "../support/nets.ts";
import { tokenModel } from "../support/tokens.ts";

const [rows, features] = [9, 24];
const random = createRandom(3);
const table = Float32Array.from({ length: rows * features }, random.normal);
const ids = [0, 8, 3, 3, -1, 5];
const env = environmentOf(nets[0]);
const feeds = { ids: tensor("int64", [2, 3], ids) };

/** y = draw(ids), with ids [N, 3]. */
const lookUp = (draw: Parameters<typeof tokenModel>[3]): Model =>
  tokenModel(table, [rows, features], 3, draw);

const plain = lookUp((g, ids, table) => g.Gather(table, ids));

/** Ties to even, without the code under test. */
const round = (x: number): number => {
  const low = Math.floor(x);
  return x - low === 0.5 ? low + (low % 2 === 0 ? 0 : 1) : Math.round(x);
};

/** The table on symmetric grids over its largest numbers, one grid for every `block` of a row. */
function roundedTable(bits: number, block: number): Float32Array {
  const most = 2 ** (bits - 1) - 1;
  const out = new Float32Array(table.length);
  for (let row = 0; row < rows; row++) {
    for (let from = 0; from < features; from += block) {
      const [a, b] = [row * features + from, row * features + Math.min(features, from + block)];
      const s = Math.fround(Math.max(...table.subarray(a, b).map(Math.abs)) / most);
      for (let i = a; i < b; i++) out[i] = Math.fround(round(table[i] / s) * s) + 0; // no -0
    }
  }
  return out;
}

const rowOf = (from: Float32Array, id: number): number[] => {
  const row = id < 0 ? id + rows : id;
  return [...from.subarray(row * features, (row + 1) * features)];
};

/** The model as the engine runs it. */
async function optimized(bytes: Uint8Array): Promise<Model> {
  const folder = mkdtempSync(join(tmpdir(), "tersor-"));
  try {
    const path = join(folder, "optimized.onnx");
    const session = await ort.InferenceSession.create(bytes, { optimizedModelFilePath: path });
    await session.release();
    return readModel(readFileSync(path), { name: "optimized" });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The largest float constant, in elements. */
const largestFloat = (model: Model): number =>
  Math.max(
    ...[...model.graph.constants].map(({ tensor: t }) => (t?.dtype === "float32" ? t.size : 0)),
  );

describe.each([8, 4, 2])("%i bits", (bits) => {
  test.each([
    ["a row", 0, features],
    ["blocks of 8", 8, 8],
    ["blocks of 10, 10 and 4", 10, 10],
  ])("a scale for %s", async (_, block, length) => {
    const options = { bits, block, scale: "minmax" };
    const done = await apply(plain, "quantize-embeddings", options, env);
    expect([done.skipped, done.warnings]).toEqual([[], []]);
    const { y } = await outputsOf(done.bytes, feeds);
    expect(y.shape).toEqual([2, 3, features]);
    const expected = roundedTable(bits, length);
    expect([...y.floats()]).toEqual(ids.flatMap((id) => rowOf(expected, id)));
    // Levels stay packed, of every row, when the engine has optimized the model.
    const kept = await optimized(done.bytes);
    const bytes = [...kept.graph.constants].flatMap(({ tensor: t }) =>
      t && /^u?int8$/.test(t.dtype) && t.size > 1 ? [t.byteLength] : [],
    );
    expect(bytes).toEqual([(rows * features * bits) / 8]);
    expect(largestFloat(kept)).toBe(rows * Math.ceil(features / length));
    const { params } = countParams(done.model, costModel(done.model));
    expect(params).toBe(rows * (features + Math.ceil(features / length)));
  });

  test("with zero points, no number is further off than half a step", async () => {
    const options = { bits, symmetric: false, scale: "minmax" };
    const { bytes } = await apply(plain, "quantize-embeddings", options, env);
    const y = (await outputsOf(bytes, feeds)).y.floats();
    for (const [i, id] of ids.entries()) {
      const row = rowOf(table, id);
      const step = (Math.max(...row, 0) - Math.min(...row, 0)) / (2 ** bits - 1);
      const errors = row.map((x, j) => Math.abs(x - y[i * features + j]));
      expect(Math.max(...errors)).toBeLessThanOrEqual(step * 0.5001);
      expect(Math.max(...errors)).toBeGreaterThan(step * 0.1);
    }
  });
});

test.each([4, 8])("the engine's own kernel gives the same rows, %i bits", async (bits) => {
  const options = { bits, scale: "minmax", kernel: "integer" };
  const done = await apply(plain, "quantize-embeddings", options, env);
  expect(done.warnings).toEqual([]);
  const { y } = await outputsOf(done.bytes, { ids: tensor("int64", [2, 3], ids.map(Math.abs)) });
  const expected = roundedTable(bits, features);
  expect([...y.floats()]).toEqual(ids.flatMap((id) => rowOf(expected, Math.abs(id))));
  expect([...done.model.graph.nodes].map(({ op }) => op)).toEqual(["GatherBlockQuantized"]);
});

describe("scores from the same table", () => {
  const tied = lookUp((g, ids, table) =>
    g.MatMul(g.Relu(g.Gather(table, ids)), g.Transpose(table, { perm: [1, 0] })),
  );

  test.each([8, 4])(
    "%i bits: it is stored once, and scores are those of the rounded table",
    async (bits) => {
      const done = await apply(tied, "quantize-embeddings", { bits, scale: "minmax" }, env);
      const expected = roundedTable(bits, features);
      const y = (await outputsOf(done.bytes, feeds)).y.floats();
      for (const [i, id] of ids.entries()) {
        const x = rowOf(expected, id).map((v) => Math.max(0, v));
        for (let row = 0; row < rows; row++) {
          const score = rowOf(expected, row).reduce((sum, w, j) => sum + w * x[j], 0);
          expect(y[i * rows + row]).toBeCloseTo(score, 4);
        }
      }
      const stored = [...done.model.graph.constants].reduce(
        (n, c) => n + (c.tensor?.byteLength ?? 0),
        0,
      );
      expect(stored).toBeLessThan((rows * features * bits) / 8 + rows * 4 + 64);
      const { params } = countParams(done.model, costModel(done.model));
      expect(params).toBe(rows * (features + 1));
      // The head would become a second copy.
      const again = await apply(done.model, "quantize-weights", { bits: 4 }, env);
      expect(again.skipped.map(({ reason }) => reason)).toEqual([
        expect.stringContaining("looks them up as they are stored"),
      ]);
    },
  );

  test("is left alone if the layer of the scores is", async () => {
    const done = await apply(tied, "quantize-embeddings", { except: ["MatMul"] }, env);
    expect(done.skipped[0].reason).toBe("shares its weight with node3, which is left out");
  });
});

test.each([
  ["quantize-weights", { bits: 8 }],
  ["quantize-hqq", { bits: 4, block: 8 }],
  ["share-weights", { bits: 4 }],
  ["quantize-table", { block: 16 }],
] as const)("a table of %s %j keeps its numbers", async (id, options) => {
  const once = await apply(plain, id, options, env);
  const twice = await apply(once.model, "quantize-embeddings", {}, env);
  expect(twice.skipped).toEqual([]);
  expect((await outputsOf(twice.bytes, feeds)).y).toEqual((await outputsOf(once.bytes, feeds)).y);
  expect(largestFloat(await optimized(twice.bytes))).toBeLessThan(rows * features);
  expect(largestFloat(await optimized(once.bytes))).toBe(rows * features);
});

test.each(["quantize-embeddings", "quantize-dynamic", "quantize-int8"] as const)(
  "%s: a table that is looked up twice is stored once, and looked up as levels",
  async (id) => {
    const twice = lookUp((g, ids, table) => g.Sub(g.Gather(table, ids), g.Gather(table, ids)));
    const calibration = tensorDataset({ ids: tensor("int64", [2, 3], ids.map(Math.abs)) });
    const done = await apply(twice, id, {}, { ...env, calibration });
    expect(done.skipped).toEqual([]);
    expect((await outputsOf(done.bytes, feeds)).y.floats().every((x) => x === 0)).toBe(true);
    const kept = await optimized(done.bytes);
    expect(largestFloat(kept)).toBeLessThan(rows * features);
    const levels = [...kept.graph.constants].filter(({ tensor: t }) => t?.dtype === "int8");
    expect(levels.length).toBe(1);
  },
);

test("a table whose scales run along blocks of the vocabulary is left alone", async () => {
  const once = await apply(plain, "quantize-weights", { bits: 4, block: 4 }, env);
  const { skipped } = await apply(once.model, "quantize-embeddings", {}, env);
  expect(skipped.map(({ reason }) => reason)).toEqual([
    "is stored as grid, which has no rows of its own",
  ]);
});
