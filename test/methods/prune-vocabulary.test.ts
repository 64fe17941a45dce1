/** @file Pruned vocabularies: tokens that stay give the same bits, all others are the unknown one. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { readVocabulary } from "../../src/evidence/vocabulary.ts";
import type { Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { renumberModel } from "../../src/recipe/renumber.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { nets } from "../support/nets.ts";
import { tokenModel } from "../support/tokens.ts";

const [rows, features] = [40, 32];
const random = createRandom(3);
const table = Float32Array.from({ length: rows * features }, random.normal);
const rowOf = (id: number): number[] => [...table.subarray(id * features, (id + 1) * features)];
const feed = (ids: readonly number[]) => ({ ids: tensor("int64", [1, ids.length], ids) });
const all = feed(Array.from({ length: rows }, (_, id) => id));
/** Of the calibration records; 7 occurs thrice, 2 and 30 twice, 11 and 39 (as -1) once. */
const seen = [7, 2, 30, 7, 2, 30, 7, 11, -1];
const env = environmentOf(nets[0], { calibration: tensorDataset(feed(seen)) });

/** A model of ids [N, T]. */
const model = (draw: Parameters<typeof tokenModel>[3]): Model =>
  tokenModel(table, [rows, features], "T", draw);

const plain = model((g, ids, table) => g.Gather(table, ids));
const folder = mkdtempSync(join(tmpdir(), "tersor-"));
afterAll(() => rmSync(folder, { recursive: true }));
function file(name: string, content: string): string {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

/** The rows that a model looks up for every id of the vocabulary. */
async function rowsIn(bytes: Uint8Array): Promise<number[][]> {
  const y = (await outputsOf(bytes, all)).y.floats();
  return Array.from({ length: rows }, (_, id) => [
    ...y.subarray(id * features, (id + 1) * features),
  ]);
}

describe("ids of the calibration records", () => {
  test.each([
    [{ unknown: 5 }, [2, 5, 7, 11, 30, 39]],
    [{ unknown: 5, frequency: 2 }, [2, 5, 7, 30]],
    [{ unknown: 5, keep: 3 }, [2, 5, 7]],
  ])("%j", async (options, kept) => {
    const done = await apply(plain, "prune-vocabulary", options, env);
    expect(done.skipped).toEqual([]);
    const found = await rowsIn(done.bytes);
    for (const [id, row] of found.entries()) expect(row).toEqual(rowOf(kept.includes(id) ? id : 5));
    const shapes = [...done.model.graph.constants].map(({ tensor: t }) => [t?.dtype, t?.shape]);
    expect(shapes).toContainEqual(["float32", [kept.length, features]]);
    expect(shapes).toContainEqual(["uint8", [rows]]);
    expect(done.groups).toMatchObject([{ node: "node0", before: rows, after: kept.length }]);
    const back = (await outputsOf(done.bytes, feed([-1]))).y.floats();
    expect([...back]).toEqual(rowOf(kept.includes(39) ? 39 : 5));
  });

  test("without an unknown token the mean of the rows stands for those that went", async () => {
    const { bytes } = await apply(plain, "prune-vocabulary", {}, env);
    const kept = [2, 7, 11, 30, 39];
    const gone = Array.from({ length: rows }, (_, id) => id).filter((id) => !kept.includes(id));
    const mean = Array.from(
      { length: features },
      (_, i) => gone.reduce((sum, id) => sum + rowOf(id)[i], 0) / gone.length,
    );
    for (const [id, row] of (await rowsIn(bytes)).entries()) {
      if (kept.includes(id)) expect(row).toEqual(rowOf(id));
      else for (const [i, x] of row.entries()) expect(x).toBeCloseTo(mean[i], 6);
    }
  });

  test("levels and scales are cut together", async () => {
    const small = await apply(plain, "quantize-embeddings", { bits: 4 }, env);
    const before = await rowsIn(small.bytes);
    const done = await apply(small.model, "prune-vocabulary", { unknown: 5 }, env);
    const kept = [2, 5, 7, 11, 30, 39];
    for (const [id, row] of (await rowsIn(done.bytes)).entries()) {
      expect(row).toEqual(before[kept.includes(id) ? id : 5]);
    }
    const without = await apply(small.model, "prune-vocabulary", {}, env);
    expect(without.skipped[0].reason).toContain("unknown=ID");
  });
});

describe("a text", () => {
  const corpus = file("texts.txt", "the cat\nThe dog  sat\nthe end\n");
  const words = ["<pad>", "<unk>", "<cls>", "the", "bird", "cat", "dog", "sat", "ran"];
  const list = [...words, ...Array.from({ length: rows - words.length }, (_, i) => `w${i}`)];
  const wordPiece = {
    version: "1.0",
    added_tokens: [0, 1, 2].map((id) => ({
      ...{ id, content: list[id], special: true, single_word: false },
      ...{ lstrip: false, rstrip: false, normalized: false },
    })),
    normalizer: { type: "Lowercase" },
    pre_tokenizer: { type: "Whitespace" },
    post_processor: null,
    decoder: null,
    model: {
      ...{ type: "WordPiece", unk_token: "<unk>", continuing_subword_prefix: "##" },
      ...{ max_input_chars_per_word: 100, vocab: Object.fromEntries(list.map((w, i) => [w, i])) },
    },
  };

  test.each([
    ["a list of words", list],
    ["words with ids", wordPiece.model.vocab],
    ["tokenizer.json", wordPiece],
  ])("%s: special tokens stay, and words of the text", async (name, json) => {
    const tokenizer = file(`${name}.json`, JSON.stringify(json));
    const none = { ...env, calibration: null };
    const done = await apply(plain, "prune-vocabulary", { tokenizer, corpus }, none);
    const kept = [0, 1, 2, 3, 5, 6, 7];
    for (const [id, row] of (await rowsIn(done.bytes)).entries()) {
      expect(row).toEqual(rowOf(kept.includes(id) ? id : 1));
    }
    // the the the cat dog sat, and "end", which is unknown
    expect(done.groups[0].reason).toMatch(/^100.00 %/);
    const most = await apply(plain, "prune-vocabulary", { tokenizer, corpus, keep: 4 }, none);
    expect(most.groups[0]).toMatchObject({ after: 4, reason: expect.stringMatching(/^57.14 %/) });
  });

  test("files that hold no vocabulary are refused", async () => {
    const bytes = (text: string) => new TextEncoder().encode(text);
    for (const text of ["{", "3", "[]", '{"a": -1}', "[[1]]", '{"model": {"type": "None"}}']) {
      await expect(readVocabulary(bytes(text), "v.json")).rejects.toMatchObject({
        code: "bad-data",
        where: "v.json",
      });
    }
    await expect(apply(plain, "prune-vocabulary", { corpus }, env)).rejects.toMatchObject({
      code: "bad-option",
    });
  });
});

describe("scores of the same tokens", () => {
  const W = Float32Array.from({ length: rows * features }, random.normal);
  const b = Float32Array.from({ length: rows }, random.normal);
  const untied = model((g, ids, table) =>
    g.Add(
      g.MatMul(g.Gather(table, ids), g.constant(W, { shape: [features, rows], name: "W" })),
      g.constant(b, { name: "b" }),
    ),
  );
  const tied = model((g, ids, table) =>
    g.MatMul(g.Gather(table, ids), g.Transpose(table, { perm: [1, 0] })),
  );

  test.each([
    ["a layer of its own", untied, { unknown: 5 }],
    ["the table", tied, { unknown: 5 }],
    ["the table, with a mean row", tied, {}],
  ])("head=true, %s: scores that stay are the same", async (_, start, options) => {
    const before = (
      await outputsOf(
        (
          await apply(start, "prune-vocabulary", { except: ["*"] }, env)
        ).bytes,
        feed([7, 30]),
      )
    ).y;
    const done = await apply(start, "prune-vocabulary", { ...options, head: true }, env);
    expect(done.skipped).toEqual([]);
    const { y } = await outputsOf(done.bytes, feed([7, 30]));
    expect(y.shape).toEqual([1, 2, rows]);
    const kept = [2, 7, 11, 30, 39, ...("unknown" in options ? [5] : [])];
    const [was, is] = [before.floats(), y.floats()];
    for (const [i, score] of is.entries()) {
      if (kept.includes(i % rows)) expect(score).toBeCloseTo(was[i], 4);
      else expect(score).toBe(-10_000);
    }
    const most = Math.max(...[...done.model.graph.constants].map(({ tensor: t }) => t?.size ?? 0));
    expect(most).toBeLessThanOrEqual(6 * features);
  });

  test("without it they keep a table that they share", async () => {
    const done = await apply(tied, "prune-vocabulary", { unknown: 5 }, env);
    expect(done.skipped[0].reason).toBe("shares its table with node2: head=true prunes both");
    const own = await apply(untied, "prune-vocabulary", { unknown: 5 }, env);
    expect(own.skipped).toEqual([]);
    const [was, is] = await Promise.all(
      [(await apply(untied, "prune-vocabulary", { except: ["*"] }, env)).bytes, own.bytes].map(
        async (bytes) => (await outputsOf(bytes, feed([7, 30]))).y,
      ),
    );
    expect(is).toEqual(was);
  });
});

test("a table that the model reads in other places keeps its rows", async () => {
  const shared = model((g, ids, table) =>
    g.Add(g.Gather(table, ids), g.ReduceMean(table, g.ints([0]))),
  );
  const done = await apply(shared, "prune-vocabulary", { unknown: 5 }, env);
  expect(done.skipped[0].reason).toBe("shares its table with node1, which reads all rows");
});

describe("the new numbers outside of the model", () => {
  const words = Array.from({ length: rows }, (_, i) => `w${i}`);
  const bytes = new TextEncoder().encode(JSON.stringify(words));
  const kept = [0, 2, 7, 11, 30, 39];
  const tied = model((g, ids, table) =>
    g.MatMul(g.Gather(table, ids), g.Transpose(table, { perm: [1, 0] })),
  );

  test.each([
    ["the unknown token has a row", { unknown: 0 }, kept],
    ["a row is the mean of those that went", {}, kept.slice(1)],
  ])("%s: rows and scores of kept tokens are the same bits", async (_, options, left) => {
    const own = { ...env, feeds: feed([2]) };
    const pruned = await apply(tied, "prune-vocabulary", { ...options, head: true }, own);
    const before = (await outputsOf(pruned.bytes, feed(left))).y;
    const done = await renumberModel({ name: "m.onnx", model: pruned.model }, bytes, {
      where: "v",
      ...options,
    });
    expect(done.kept).toEqual(left);
    expect(JSON.parse(done.tokenizer)).toEqual(left.map((id) => words[id]));
    const shapes = [...done.model.graph.constants].map(({ tensor: t }) => t?.shape);
    expect(shapes).toEqual([[left.length, features]]);
    const { y } = await outputsOf(concat(writeModel(done.model)), feed(left.map((_, i) => i)));
    expect(y.shape).toEqual([1, left.length, left.length]);
    const was = before.floats();
    for (const [i, score] of y.floats().entries()) {
      const [position, place] = [Math.floor(i / left.length), i % left.length];
      expect(score).toBe(was[position * rows + left[place]]);
    }
    expect(pruned.model.graph.constants.size).toBeGreaterThan(1);
  });

  test("a tokenizer whose unknown token has no row of its own is refused", async () => {
    const pruned = await apply(plain, "prune-vocabulary", {}, env);
    const own = new TextEncoder().encode(JSON.stringify(words.with(0, "<unk>")));
    const found = renumberModel({ name: "m.onnx", model: pruned.model }, own, { where: "v.json" });
    await expect(found).rejects.toThrow(/v.json: has the unknown token 0, .* Prune/);
  });

  test("masks of a token follow its number", async () => {
    const masked = model((g, ids, table) => {
      const isPadding = g.Equal(ids, g.constant(7, { dtype: "int64" }));
      return g.Add(g.Gather(table, ids), g.Unsqueeze(g.Cast(isPadding, { to: 1 }), g.ints([2])));
    });
    const pruned = await apply(masked, "prune-vocabulary", { unknown: 0 }, env);
    const where = { where: "v", unknown: 0 };
    const done = await renumberModel({ name: "m.onnx", model: pruned.model }, bytes, where);
    const places = feed(kept.map((_, i) => i));
    const { y } = await outputsOf(concat(writeModel(done.model)), places);
    expect([...y.floats()]).toEqual(
      kept.flatMap((id) => rowOf(id).map((x) => Math.fround(x + Number(id === 7)))),
    );
  });

  test("a model that reads the numbers otherwise, or has no table, is left", async () => {
    const summed = model((g, ids, table) =>
      g.Add(g.Gather(table, ids), g.Unsqueeze(g.Cast(g.Neg(ids), { to: 1 }), g.ints([2]))),
    );
    const pruned = await apply(summed, "prune-vocabulary", { unknown: 0 }, env);
    for (const [own, why] of [
      [pruned.model, /to node1 as well/],
      [plain, /no table of old numbers/],
    ] as const) {
      const found = renumberModel({ name: "m.onnx", model: own }, bytes, {
        where: "v",
        unknown: 0,
      });
      await expect(found).rejects.toThrow(why);
    }
  });

  test("ids=outside keeps the parts of merges", async () => {
    const letters = ["<s>", "a", "b", "c", "ab", "abc"];
    const own = [...letters, ...Array.from({ length: rows - 6 }, (_, i) => `x${i}`)];
    const around = { pre_tokenizer: { type: "WhitespaceSplit" }, normalizer: null, decoder: null };
    const ends = { continuing_subword_prefix: null, end_of_word_suffix: null };
    const flags = { unk_token: "<s>", fuse_unk: false, byte_fallback: false, dropout: null };
    const bpe = {
      ...around,
      post_processor: null,
      added_tokens: [],
      model: {
        ...{ type: "BPE", ...ends, ...flags, merges: ["a b", "ab c"] },
        vocab: Object.fromEntries(own.map((token, id) => [token, id])),
      },
    };
    const tokenizer = file("bpe.json", JSON.stringify(bpe));
    const corpus = file("abc.txt", "abc abc");
    const options = { tokenizer, corpus, ids: "outside" };
    const done = await apply(plain, "prune-vocabulary", options, env);
    expect(done.groups).toMatchObject([{ before: rows, after: 6 }]);
    const inside = await apply(plain, "prune-vocabulary", { tokenizer, corpus }, env);
    expect(inside.groups).toMatchObject([{ before: rows, after: 2 }]);
    await expect(apply(plain, "prune-vocabulary", { ids: "outside" }, env)).rejects.toThrow(
      "ids=outside needs a tokenizer",
    );
  });
});
