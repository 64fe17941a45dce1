/**
 * @file The function `unpack` and what it accepts: the bytes of a file, or bytes that
 * are still arriving.
 */
import { type Decode, decodeContainer, type Take } from "./container.ts";
import { DecodeError } from "./error.ts";

/** A whole file, or a source of its pieces. */
export type Packed =
  | Uint8Array
  | ArrayBuffer
  | Response
  | Blob
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array>;

/**
 * Decodes a .tersor file into the bytes of its ONNX file, for `InferenceSession.create`. Tensors
 * are decoded while the rest is still arriving.
 *
 * Throws DecodeError when the file is damaged or the server answers with an error, and what
 * the source throws.
 */
export function unpack(packed: Packed | PromiseLike<Packed>): Promise<Uint8Array<ArrayBuffer>> {
  return unpackBy(packed);
}

/** `unpack`, with what `decodeContainer` takes beside the bytes. */
export async function unpackBy(
  packed: Packed | PromiseLike<Packed>,
  decode?: Decode,
  spare?: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const pieces = piecesOf(await packed)[Symbol.asyncIterator]();
  try {
    return await decodeContainer(takeNext(pieces), decode, spare);
  } finally {
    // This stops a download after an error. After the end of the file it has no effect.
    await pieces.return?.();
  }
}

/** The pieces of a source, of whatever kind it is. */
function piecesOf(source: Packed): AsyncIterable<Uint8Array> {
  if ("byteLength" in source) return whole(source);
  if ("ok" in source && !source.ok) throw new DecodeError(`the server answers ${source.status}`);
  if ("body" in source) return source.body ? read(source.body) : read(new Blob([]).stream());
  if ("stream" in source) return read(source.stream());
  return "getReader" in source ? read(source) : source;
}

/** Bytes that are all there, as one piece. */
async function* whole(bytes: Uint8Array | ArrayBuffer): AsyncGenerator<Uint8Array> {
  yield bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes);
}

/** The pieces of a stream. Not every browser's streams are async iterables. */
async function* read(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel();
  }
}

/** Reads from pieces as they arrive, and allocates memory only for bytes that have arrived. */
function takeNext(pieces: AsyncIterator<Uint8Array>): Take {
  let rest: Uint8Array = new Uint8Array(0);
  return async (length) => {
    const held = [rest];
    let size = rest.length;
    while (size < length) {
      const { done, value } = await pieces.next();
      if (done) break;
      held.push(value);
      size += value.length;
    }
    const all = joined(held.filter((piece) => piece.length > 0));
    rest = all.subarray(length);
    return all.subarray(0, length);
  };
}

/** The pieces as one array; a single piece is not copied. */
function joined(pieces: readonly Uint8Array[]): Uint8Array {
  if (pieces.length === 1) return pieces[0];
  const all = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
