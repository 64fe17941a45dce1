/**
 * @file A source of bytes as a stream that tells how far it is, stops when asked to, and lets the
 * page draw while it is decoded.
 */
import type { Packed } from "../decode/unpack.ts";
import type { Rest } from "./rest.ts";

export interface Watch {
  /**
   * Called after each piece: bytes that have arrived, and bytes in all, or null where the source
   * does not say.
   */
  readonly onProgress?: ((loaded: number, total: number | null) => void) | undefined;
  /** Stops the download and the decoding; what `unpack` gave then rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Bytes of a piece of a source that is all there. */
const PIECE = 1 << 16;

/** The bytes of `source` in pieces, watched, with a rest after each. */
export function watched(
  source: Packed,
  { onProgress, signal }: Watch,
  rest: Rest,
): ReadableStream<Uint8Array> {
  const total = totalOf(source);
  let loaded = 0;
  const watch = new TransformStream<Uint8Array, Uint8Array>({
    async transform(piece, controller) {
      loaded += piece.byteLength;
      onProgress?.(loaded, total !== null && loaded > total ? null : total);
      controller.enqueue(piece);
      await rest();
    },
  });
  return streamOf(source).pipeThrough(watch, signal ? { signal } : {});
}

/** The bytes of a source, where it says how many they are. */
function totalOf(source: Packed): number | null {
  if ("byteLength" in source) return source.byteLength;
  if ("size" in source) return source.size;
  if (!("headers" in source)) return null;
  // The length of a compressed body is not that of the pieces, which are decompressed.
  const length = source.headers.get("content-length");
  return length === null || source.headers.has("content-encoding") ? null : Number(length);
}

function streamOf(source: Packed): ReadableStream<Uint8Array> {
  if ("body" in source) return source.body ?? new Blob([]).stream();
  if ("stream" in source) return source.stream();
  if ("getReader" in source) return source;
  const pieces = "byteLength" in source ? piecesOf(source) : source;
  const iterator = pieces[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await iterator.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await iterator.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}

async function* piecesOf(bytes: Uint8Array | ArrayBuffer): AsyncGenerator<Uint8Array> {
  const all = bytes instanceof ArrayBuffer ? new Uint8Array(bytes) : bytes;
  for (let at = 0; at < all.length; at += PIECE) yield all.subarray(at, at + PIECE);
}
