/** @file A graph's tokens -> its coded bytes: the mirror of decode/graph.ts. */

import { lengthOf, readGraph, start } from "./decode/graph.ts";
import { plausibleTokens } from "./decode/limits.ts";
import { createPredictor } from "./decode/predictor.ts";
import { prime } from "./decode/prime.ts";
import { RangeEncoder } from "./encode/range.ts";

export interface CodedGraph {
  readonly bytes: Uint8Array;
  /** Of the ONNX file that comes out again. */
  readonly byteLength: number;
}

/** The reader itself walks the tokens, so that both sides predict from the same places. */
export function encodeGraph(tokens: readonly number[]): CodedGraph {
  const encoder = new RangeEncoder();
  const place = start();
  const code = createPredictor(place);
  prime(code, place);
  let at = 0;
  const next = (): number => {
    const token = tokens[at++];
    let left = 8;
    return code((p) => encoder.code(p, (token >>> --left) & 1));
  };
  const parts = readGraph(next, place, Infinity);
  const byteLength = parts.reduce((sum, part) => sum + lengthOf(part), 0);
  const coded = encoder.finish();
  // Graphs that repeat themselves more than a decoder believes are padded.
  let length = coded.length;
  while (plausibleTokens(length) < tokens.length) length++;
  const bytes = new Uint8Array(length);
  bytes.set(coded);
  return { bytes, byteLength };
}
