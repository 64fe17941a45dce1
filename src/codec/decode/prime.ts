/** @file Trains a predictor on a typical graph before the first byte is coded. */
import { readGraph } from "./graph.ts";
import type { CodeBit, Place } from "./predictor.ts";
import { primer } from "./primer.ts";

/**
 * Passes the tokens of primer.ts through `code`, the predictor that reads `place`. Nothing is
 * coded; the predictor learns what graphs usually contain.
 */
export function prime(code: (bit: CodeBit) => number, place: Place): void {
  let at = 0;
  const next = (): number => {
    const token = primer.charCodeAt(at++);
    let left = 8;
    return code(() => (token >>> --left) & 1);
  };
  readGraph(next, place, Infinity);
}
