/** @file Bounds: operators that only keep values inside a range, y = min(max(x, low), high). */
import type { Node, Value } from "../ir/graph.ts";
import { constantValue } from "./constant.ts";
import { entryOf, type OpTable } from "./table.ts";

/**
 * An end that is left open is infinite; an end that is computed, and therefore not known, is null.
 */
export interface Bounds {
  readonly low: number | null;
  readonly high: number | null;
}

const bounded: OpTable<(node: Node) => Bounds> = {
  Clip: ({ inputs: [, low, high] }) => ({
    low: end(low, Number.NEGATIVE_INFINITY),
    high: end(high, Number.POSITIVE_INFINITY),
  }),
  Relu: () => ({ low: 0, high: Number.POSITIVE_INFINITY }),
};

/** The constant at one end of a Clip; `open` if the input is left out. */
function end(value: Value | null | undefined, open: number): number | null {
  return value ? (constantValue(value)?.numbers()[0] ?? null) : open;
}

/** The bounds of a node; null for operators that do more than bound. */
export function boundsOf(node: Node): Bounds | null {
  return entryOf(bounded, node)?.(node) ?? null;
}
