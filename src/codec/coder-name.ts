/** @file What coded a tensor's body, in words. */

/** By the high half of the first byte (decode/tensor.ts). */
const mappings = ["raw", "integers", "codebook", "grid", "floats", "bytes", "parts", "copies"];
/** By the low half (decode/symbols.ts). */
const coders = ["packed", "huffman", "gaps", "context", "rans"];

export function coderOf(body: Uint8Array): string {
  const mapping = mappings[body[0] >> 4] ?? "?";
  if (["raw", "parts", "copies"].includes(mapping)) return mapping;
  const coder = coders[body[0] & 7] ?? "?";
  return `${mapping}, ${coder}${body[0] & 8 ? " of differences" : ""}`;
}
