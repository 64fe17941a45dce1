/** @file File sizes of a model: as it is, and compressed as a web server would send it. */
import type { Platform } from "../platform.ts";
import type { Bytes } from "./measurement.ts";

/** Larger models are not compressed just to report a size, because that takes minutes. */
const MOST = 2 ** 30;

/**
 * Sizes of the concatenated files of a model (the ONNX file, then its external data): raw, with
 * gzip at level 9, with brotli at level 11. `chunks` is iterated three times, so it has to be an
 * array or another repeatable iterable. `packed`, the size of the .tersor file, is passed through.
 */
export async function measureBytes(
  chunks: Iterable<Uint8Array>,
  platform: Pick<Platform, "gzipSize" | "brotliSize">,
  packed: number | null = null,
): Promise<Bytes> {
  let raw = 0;
  for (const chunk of chunks) raw += chunk.byteLength;
  if (raw > MOST) return { raw, gzip: null, brotli: null, packed };
  return {
    raw,
    gzip: await platform.gzipSize(chunks),
    brotli: await platform.brotliSize(chunks),
    packed,
  };
}
