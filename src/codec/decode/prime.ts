/** @file What graphs mostly hold: tokens the predictor has seen before the first byte. */
import { readGraph } from "./graph.ts";
import type { CodeBit, Place } from "./predictor.ts";

const tokens: string = "";

/** Shows `code` the tokens. */
export function prime(code: (bit: CodeBit) => number, place: Place): void {
  if (tokens === "") return;
  let at = 0;
  readGraph(
    () => {
      const symbol = tokens.charCodeAt(at++);
      let left = 8;
      return code(() => (symbol >>> --left) & 1);
    },
    place,
    Infinity,
  );
}
