/** @file The one error of the decoders: the bytes are not what an encoder wrote. */

/** Dependency-free on purpose: decoders ship alone as `tersor/unpack`. */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
}
