/** @file Bytes of a model as it would be shipped: raw and as a web server would send it. */
import type { Platform } from "../platform.ts";
import type { Bytes } from "./measurement.ts";

/**
 * gzip -9 and brotli -11 over the files one after the other (model, then external data). `chunks` is
 * walked three times, so give an array or another repeatable iterable. `packed` was measured by `packSmallest`.
 */
export async function measureBytes(
  chunks: Iterable<Uint8Array>,
  platform: Pick<Platform, "gzipSize" | "brotliSize">,
  packed: number | null = null,
): Promise<Bytes> {
  let raw = 0;
  for (const chunk of chunks) raw += chunk.byteLength;
  return {
    raw,
    gzip: await platform.gzipSize(chunks),
    brotli: await platform.brotliSize(chunks),
    packed,
  };
}
