/** @file tersorFetch in transformers.js: a repository that has only a .tersor file loads and runs. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AutoModel, env, Tensor } from "@huggingface/transformers";
import { afterAll, expect, test } from "vitest";
import { tersorFetch, unpack } from "../../src/load.ts";
import { packModel } from "../../src/onnx/pack.ts";
import { tinyModel } from "../support/tiny.ts";

const table = Float32Array.from({ length: 200 * 16 }, (_, i) => Math.sin(i));
const { bytes: packed } = packModel(
  tinyModel({
    inputs: [{ name: "input_ids", dtype: "int64", dims: ["N", "T"] }],
    outputs: [{ name: "last_hidden_state", dims: ["N", "T", 16] }],
    nodes: [{ op: "Gather", inputs: ["table", "input_ids"], outputs: ["last_hidden_state"] }],
    weights: [{ name: "table", dims: [200, 16], data: table }],
  }),
);
const files: Record<string, string | Uint8Array> = {
  "config.json": JSON.stringify({ model_type: "bert", hidden_size: 16, vocab_size: 200 }),
  "onnx/model_quantized.tersor": packed,
};
const asked: string[] = [];
const server = createServer((request, response) => {
  const path = request.url!.replace("/us/tiny/resolve/main/", "");
  asked.push(path);
  response.writeHead(files[path] ? 200 : 404).end(files[path]);
});
const place = mkdtempSync(join(tmpdir(), "tersor-transformers-"));
afterAll(() => {
  server.close();
  rmSync(place, { recursive: true, force: true });
});

test("a model that is packed only", async () => {
  await new Promise<void>((resume) => server.listen(0, "127.0.0.1", resume));
  env.remoteHost = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  env.allowLocalModels = false;
  env.cacheDir = place;
  env.fetch = tersorFetch(env.fetch);
  const told: number[] = [];
  const model = await AutoModel.from_pretrained("us/tiny", {
    dtype: "q8",
    progress_callback: (event) => {
      if (event.status === "progress") told.push(event.progress);
    },
  });
  const ids = new Tensor("int64", BigInt64Array.of(3n, 199n), [1, 2]);
  const { last_hidden_state } = await model({ input_ids: ids });
  expect(last_hidden_state.data).toEqual(
    Float32Array.from([...table.subarray(48, 64), ...table.subarray(199 * 16)]),
  );
  expect(asked).toContain("onnx/model_quantized.tersor");
  expect(asked).not.toContain("onnx/model_quantized.onnx");
  expect(told.at(-1)).toBe(100);
  // In Node it runs the file that it keeps; pages run the bytes.
  const kept = readFileSync(join(place, "us/tiny/onnx/model_quantized.onnx"));
  expect(kept).toEqual(Buffer.from(await unpack(packed)));
});
