/** @file The one error of the decoders: the bytes are not what an encoder wrote. */

/**
 * Thrown by every decoder. It is not in the catalogue of src/errors.ts, because the decoders have
 * no dependencies: they are published alone as `tersor/unpack`.
 */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
}
