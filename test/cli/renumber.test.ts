/** @file tersor renumber: the model and its tokenizer, written together or not at all. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { dtypes } from "../../src/ir/dtype.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { tokenModel } from "../support/tokens.ts";
import { run, temporaryFolder } from "./run.ts";

const folder = temporaryFolder();
afterAll(folder.close);

test("writes a folder that holds both, and refuses a model without a table", async () => {
  // Of w0 to w5, 1 is the unknown one, and 3 and 5 have rows of their own.
  const words = ["w0", "<unk>", "w2", "w3", "w4", "w5"];
  const places = [0, 0, 0, 1, 0, 2];
  const values = Float32Array.from({ length: 6 }, (_, i) => i);
  const draw = (hasTable: boolean) =>
    tokenModel(values, [3, 2], "T", (g, ids, table) => {
      const own = g.Gather(g.constant(places, { dtype: "uint8", name: "map" }), ids);
      return g.Gather(table, hasTable ? g.Cast(own, { to: dtypes.int32.code }) : ids);
    });
  const [model, plain] = [folder.in("small.onnx"), folder.in("plain.onnx")];
  writeFileSync(model, concat(writeModel(draw(true))));
  writeFileSync(plain, concat(writeModel(draw(false))));
  const vocabulary = folder.in("vocab.json");
  writeFileSync(vocabulary, JSON.stringify(words));
  const given = ["--tokenizer", vocabulary];

  const done = await run(["renumber", model, ...given, "--json"]);
  expect([done.status, done.stderr]).toEqual([0, ""]);
  expect(JSON.parse(done.stdout)).toMatchObject({
    ...{ command: "renumber", input: "ids", scores: [] },
    ...{ file: folder.in("small-renumbered/small.onnx") },
    ...{ tokenizer: folder.in("small-renumbered/vocab.json") },
    tokens: { before: 6, after: 3, moved: [[1, 0]] },
  });
  const written = readFileSync(folder.in("small-renumbered/vocab.json"), "utf8");
  expect(JSON.parse(written)).toEqual(["<unk>", "w3", "w5"]);

  const again = await run(["renumber", model, ...given]);
  expect([again.status, again.stderr]).toEqual([2, expect.stringContaining("output-exists")]);
  const none = await run(["renumber", plain, ...given, "-o", folder.in("none")]);
  expect([none.status, none.stderr]).toEqual([
    2,
    `tersor: bad-usage: ${plain}: has no table of old numbers in front of an embedding. Give a model whose vocabulary was pruned.\n`,
  ]);
  expect(existsSync(folder.in("none"))).toBe(false);
});
