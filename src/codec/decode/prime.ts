/** @file Shows a predictor what graphs mostly hold, before the first byte. */
import { readGraph } from "./graph.ts";
import type { CodeBit, Place } from "./predictor.ts";
import { primer } from "./primer.ts";

/** `code` is the predictor that looks at `place`. */
export function prime(code: (bit: CodeBit) => number, place: Place): void {
  let at = 0;
  const next = (): number => {
    const token = primer.charCodeAt(at++);
    let left = 8;
    return code(() => (token >>> --left) & 1);
  };
  readGraph(next, place, Infinity);
}
