/**
 * @file `tersor/load`: opens .tersor files in a page, with progress, a way to stop, and a cache. Like
 * `tersor/unpack` it has no dependency.
 */

export { DecodeError } from "./codec/decode/error.ts";
export type { Packed } from "./codec/decode/unpack.ts";
export { type Fetch, type FetchOptions, tersorFetch } from "./codec/load/fetch.ts";
export { type UnpackOptions, unpack } from "./codec/load/unpack.ts";
