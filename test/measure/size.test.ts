/** @file Bytes of a model, against node:zlib on the concatenation. */
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { measureBytes } from "../../src/measure/size.ts";

const join = (chunks: Iterable<Uint8Array>) => Buffer.concat([...chunks]);

test("raw is the sum of the chunks, the coders see all of them, packed is left open", async () => {
  const chunks = ["terse ", "tensor ", "terse tensor"].map((text) =>
    new TextEncoder().encode(text),
  );
  const seen: string[] = [];
  const bytes = await measureBytes(chunks, {
    gzipSize: async (parts) => {
      seen.push(join(parts).toString());
      return gzipSync(join(parts), { level: 9 }).length;
    },
    brotliSize: async () => null,
  });
  expect(bytes).toEqual({
    raw: 25,
    gzip: gzipSync("terse tensor terse tensor", { level: 9 }).length,
    brotli: null,
    packed: null,
  });
  expect(seen).toEqual(["terse tensor terse tensor"]);
  const brotli = brotliCompressSync("terse tensor terse tensor", {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11 },
  }).length;
  const other = { gzipSize: async () => null, brotliSize: async () => brotli };
  expect((await measureBytes(chunks, other)).brotli).toBe(brotli);
});
