/** @file Codes a graph's tokens into bytes: the mirror of decode/graph.ts. */

import { readGraph, sizeOf } from "./decode/graph.ts";
import { plausibleTokens } from "./decode/limits.ts";
import { createPrimed } from "./encode/primed.ts";
import { RangeEncoder } from "./encode/range.ts";

/** A coded graph, ready for the container. */
export interface CodedGraph {
  readonly bytes: Uint8Array;
  /** Size of the ONNX file that decoding gives, in bytes, tensors included. */
  readonly byteLength: number;
}

/**
 * Codes `tokens` (onnx/pack-tokens.ts), one byte each, by the probabilities of decode/predictor.ts.
 *
 * The decoder's own `readGraph` walks the tokens and moves `place`, so that encoder and decoder
 * predict every byte from the same contexts.
 */
export function encodeGraph(tokens: readonly number[]): CodedGraph {
  const encoder = new RangeEncoder();
  const { code, place } = createPrimed();
  let at = 0;
  const next = (): number => {
    const token = tokens[at++];
    let left = 8;
    return code((p) => encoder.code(p, (token >>> --left) & 1));
  };
  const parts = readGraph(next, place, Infinity);
  const byteLength = sizeOf(parts);
  const coded = encoder.finish();
  // A decoder refuses more tokens than `plausibleTokens` of its bytes. A graph that compresses
  // better than that is padded with zero bytes.
  let length = coded.length;
  while (plausibleTokens(length) < tokens.length) length++;
  const bytes = new Uint8Array(length);
  bytes.set(coded);
  return { bytes, byteLength };
}
