/** @file compress --layout transformers.js: what it writes, and what it refuses before it writes. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { writeTransformer } from "../support/transformer-folder.ts";
import { run, temporaryFolder } from "./run.ts";

const place = temporaryFolder();
afterAll(place.close);
const small = { words: 400, width: 16, layers: 1, heads: 2, inner: 32, positions: 12, classes: 3 };
const layout = ["--layout", "transformers.js", "--no-measure"];
writeTransformer(place.in("float"), "text-encoder", small);

test("writes the dtypes under the library's names, with the other files", async () => {
  const flags = [...layout, "--dtypes", "fp32,q8,uint8", "-o", place.in("out"), "--json"];
  const { status, stdout, stderr } = await run(["compress", place.in("float"), ...flags]);
  expect(status, stderr).toBe(0);
  expect(place.list().filter((name) => name.startsWith("out/"))).toEqual([
    "out/README.snippet.md",
    "out/config.json",
    "out/onnx",
    "out/onnx/model.onnx",
    "out/onnx/model_quantized.onnx",
    "out/tokenizer.json",
    "out/tokenizer_config.json",
  ]);
  const { files, refused } = JSON.parse(stdout);
  expect(files.map(({ file, shards }: never) => [file, shards])).toEqual([
    ["model.onnx", 0],
    ["model_quantized.onnx", 0],
  ]);
  expect(files[1].bytes).toBe(readFileSync(place.in("out/onnx/model_quantized.onnx")).byteLength);
  expect(refused).toMatchObject([{ file: "model_uint8.onnx", dtype: "uint8" }]);
  expect(stderr).toMatch(/q8: on web-webgpu/);
  expect(stderr).toMatch(/model_uint8\.onnx is not made: /);
});

test("divides weights by --shard and tells config.json", async () => {
  const flags = [...layout, "--dtypes", "fp32", "--shard", "4kB", "-o", place.in("shards")];
  expect((await run(["compress", place.in("float"), ...flags])).status).toBe(0);
  const config = JSON.parse(readFileSync(place.in("shards/config.json"), "utf8"));
  const { use_external_data_format: shards } = config["transformers.js_config"];
  const names = Array.from(
    { length: shards["model.onnx"] },
    (_, i) => `shards/onnx/model.onnx_data${i === 0 ? "" : `_${i}`}`,
  );
  const data = place.list().filter((name) => name.includes("model.onnx_data"));
  expect(data).toEqual(names.sort());
  expect(data.length).toBeGreaterThan(2);
});

test.each([
  [
    "a folder without models",
    () => mkdirSync(place.in("empty/onnx"), { recursive: true }),
    "empty",
    [],
  ],
  ["no folder", () => {}, "float/config.json", []],
  ["an unknown dtype", () => {}, "float", ["--dtypes", "q5"]],
  ["a bad size", () => {}, "float", ["--shard", "many"]],
])("refuses %s in one line", async (_, prepare, folder, flags) => {
  prepare();
  const out = ["-o", place.in("none")];
  const { status, stderr } = await run(["compress", place.in(folder), ...layout, ...flags, ...out]);
  expect(status).toBe(2);
  expect(stderr.trim().split("\n").length).toBe(1);
  expect(existsSync(place.in("none"))).toBe(false);
});

test("--dtypes without --layout, and files that exist, are refused", async () => {
  const alone = await run(["compress", place.in("float/onnx/model.onnx"), "--dtypes", "q8"]);
  expect(alone.status).toBe(2);
  expect(alone.stderr).toMatch(/--dtypes: is for --layout/);
  mkdirSync(place.in("taken/onnx"), { recursive: true });
  writeFileSync(place.in("taken/onnx/model_fp16.onnx"), "mine");
  const flags = [...layout, "--dtypes", "fp16", "-o", place.in("taken")];
  expect((await run(["compress", place.in("float"), ...flags])).status).toBe(2);
  expect(readFileSync(place.in("taken/onnx/model_fp16.onnx"), "utf8")).toBe("mine");
});
