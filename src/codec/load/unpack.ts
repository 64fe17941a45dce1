/**
 * @file `unpack` for pages: that of `tersor/unpack`, with progress, an AbortSignal, and a cache.
 */
import { isPacked } from "../decode/container.ts";
import { type Packed, unpackBy } from "../decode/unpack.ts";
import { baseOf, tensorsOf } from "./base.ts";
import { keep, kept, versionOf } from "./cache.ts";
import type { Base } from "./difference.ts";
import { createRest } from "./rest.ts";
import { type Watch, watched } from "./stream.ts";
import { bytesOf, decodeWith } from "./tensor.ts";

export interface UnpackOptions extends Watch {
  /**
   * Keep the unpacked bytes in the browser's cache "tersor" (default false). They are used again as
   * long as the server tells the same ETag for the URL (or the same Last-Modified and length), and
   * where a URL was given, while the server cannot be reached.
   */
  readonly cache?: boolean | undefined;
  /**
   * For a delta (`tersor pack --base`): the ONNX file of the base, or the .tersor file that the base
   * was packed into. Tensors of the ONNX file must be stored as raw_data, as in what `unpack` gives.
   */
  readonly base?: Bytes | PromiseLike<Bytes> | undefined;
}

type Bytes = Uint8Array | ArrayBuffer;

/** A .tersor file: its address, its bytes, or what gives them. */
export type Source = string | URL | Request | Packed;

/**
 * Decodes a .tersor file into the bytes of its ONNX file, for `InferenceSession.create`. Each
 * tensor is decoded as soon as its bytes have arrived, and the page gets a turn in between.
 *
 * Throws DecodeError when the file is damaged, its base is missing or another model, or the server
 * answers with an error; the signal's reason when it was stopped; and what the source throws.
 */
export async function unpack(
  source: Source | PromiseLike<Source>,
  options: UnpackOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const { signal, onProgress, base } = options;
  // An answer from the cache does not wait for the base; its failure then is none of ours.
  Promise.resolve(base).catch(() => {});
  signal?.throwIfAborted();
  const given = await source;
  const done = (bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => {
    onProgress?.(bytes.length, bytes.length);
    return bytes;
  };
  const address = addressOf(given);
  let packed: Packed;
  try {
    packed = isAddress(given) ? await fetch(given, signal ? { signal } : {}) : given;
  } catch (cause) {
    const old = options.cache && address && !signal?.aborted ? await kept(address, null) : null;
    if (old) return done(old);
    throw cause;
  }
  const response = "headers" in packed ? packed : null;
  // `unpackBy` tells what the answer is.
  if (response && !response.ok) return unpackBy(response);
  const version = options.cache && response ? versionOf(response) : null;
  const same = version && address ? await kept(address, version) : null;
  if (same) {
    await response?.body?.cancel();
    return done(same);
  }
  const rest = createRest();
  const known = base ? await baseIn(await base) : null;
  const watchedPieces = watched(packed, options, rest);
  const bytes = await unpackBy(watchedPieces, decodeWith(known, rest), bytesOf(known));
  if (version && address) await keep(address, version, bytes);
  return bytes;
}

/** The tensors of a base; one that is packed is unpacked first. */
async function baseIn(bytes: Bytes): Promise<Base> {
  const file = bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes);
  return baseOf(tensorsOf(isPacked(file) ? await unpackBy(file) : file));
}

/**
 * Unpacks a delta whose base is known already, without rests. Throws DecodeError as `unpack` does.
 */
export function unpackOnto(packed: Uint8Array, base: Base): Promise<Uint8Array<ArrayBuffer>> {
  return unpackBy(
    packed,
    decodeWith(base, async () => {}),
    bytesOf(base),
  );
}

const isAddress = (source: Source): source is string | URL | Request =>
  typeof source === "string" || source instanceof URL || source instanceof Request;

/** The URL under which a source is kept: the one that was asked for, before redirections. */
function addressOf(source: Source): string | null {
  if (typeof source !== "string" && "url" in source) return source.url || null;
  if (!isAddress(source)) return null;
  const from = (globalThis as { readonly location?: { readonly href: string } }).location?.href;
  return URL.canParse(source, from) ? new URL(source, from).href : null;
}
