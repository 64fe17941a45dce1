/** @file `tersor/unpack`: opens .tersor files, alone and without any dependency. */

export { DecodeError } from "./codec/decode/error.ts";
export { type Packed, unpack } from "./codec/decode/unpack.ts";
