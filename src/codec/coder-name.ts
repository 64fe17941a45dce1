/** @file The name of the coder that wrote a tensor's body, as reports print it. */

import { isDifference } from "./load/difference.ts";

/** Names of the mappings, by the high four bits of a body's first byte (decode/tensor.ts). */
const mappings = [
  ...["raw", "integers", "codebook", "grid", "floats", "bytes", "parts", "copies", "grids"],
];
/** What a tensor takes from that of a base, by the low half of the first byte of mapping 9. */
const differences = ["base", "base, words", "base, sum", "base, product"];
/** Names of the coders, by the low three bits of that byte (decode/symbols.ts). */
const coders = ["packed", "huffman", "gaps", "context", "rans"];

/**
 * The coder of `body`, for example "codebook, rans" or "integers, context of differences", where
 * "of differences" means that a linear prediction was subtracted first; "base, sum" adds to a tensor of the base. The mappings raw, parts and
 * copies have no coder of their own and are named alone. A number without a name gives "?".
 */
export function coderOf(body: Uint8Array): string {
  if (isDifference(body)) return differences[body[0] & 15] ?? "?";
  const mapping = mappings[body[0] >> 4] ?? "?";
  if (["raw", "parts", "copies"].includes(mapping)) return mapping;
  const coder = coders[body[0] & 7] ?? "?";
  return `${mapping}, ${coder}${body[0] & 8 ? " of differences" : ""}`;
}
