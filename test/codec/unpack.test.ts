/** @file unpack: any source of bytes, in pieces of any size, and a decoder that stands alone. */

import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { packModel } from "../../src/onnx/pack.ts";
import { DecodeError, unpack } from "../../src/unpack.ts";
import { linear } from "../support/tiny.ts";

const W = Float32Array.from({ length: 40_000 }, (_, i) => ((i * 37) % 1999) / 1600 - 0.5);
const { bytes: packed } = packModel(linear(W, new Float32Array(400)));
const expected = await unpack(packed);

async function* piecesOf(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

describe("sources", () => {
  const buffer = packed.slice().buffer;
  test.each([
    ["Uint8Array", () => packed],
    ["ArrayBuffer", () => buffer],
    ["Response", () => new Response(buffer)],
    ["a promise of one", async () => new Response(buffer)],
    ["Blob", () => new Blob([buffer])],
    ["ReadableStream", () => new Blob([buffer]).stream()],
    ["AsyncIterable", () => piecesOf(packed, 1000)],
  ] as const)("%s", async (_, source) => {
    expect(Buffer.compare(await unpack(source()), expected)).toBe(0);
  });

  test("pieces of any size", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 200, max: packed.length }), async (size) => {
        expect(Buffer.compare(await unpack(piecesOf(packed, size)), expected)).toBe(0);
      }),
      { numRuns: 5 },
    );
    const small = packModel(linear(W.subarray(0, 40), new Float32Array(4))).bytes;
    const file = await unpack(small);
    expect(await unpack(piecesOf(small, 1))).toEqual(file);
  });

  test("a refused or empty response, a broken download", async () => {
    await expect(unpack(new Response("no", { status: 404 }))).rejects.toThrow("answers 404");
    await expect(unpack(new Response(null))).rejects.toThrow(DecodeError);
    const broken = async function* () {
      yield packed.subarray(0, 100);
      throw new TypeError("network");
    };
    await expect(unpack(broken())).rejects.toThrow("network");
  });

  test("a download is stopped when its first bytes are wrong", async () => {
    let isStopped = false;
    const stream = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(1000)),
      cancel() {
        isStopped = true;
      },
    });
    await expect(unpack(stream)).rejects.toThrow("does not begin");
    expect(isStopped).toBe(true);
  });
});

test.each([
  ["unpack", 10_000, /src\/(unpack|codec\/decode\/[a-z0-9-]+)\.ts$/],
  ["load", 13_500, /src\/(load|util\/sha256|codec\/(decode|load)\/[a-z0-9-]+)\.ts$/],
])("tersor/%s stands alone and is small", async (entry, most, own) => {
  const { outputFiles, metafile } = await build({
    entryPoints: [fileURLToPath(new URL(`../../src/${entry}.ts`, import.meta.url))],
    bundle: true,
    minify: true,
    format: "esm",
    platform: "neutral",
    metafile: true,
    write: false,
  });
  expect(Object.keys(metafile.inputs).filter((path) => !own.test(path))).toEqual([]);
  const size = gzipSync(outputFiles[0].contents, { level: 9 }).length;
  console.info(`tersor/${entry}: ${size} bytes minified and gzipped`);
  expect(size).toBeLessThanOrEqual(most);
});
