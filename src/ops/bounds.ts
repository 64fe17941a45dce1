/** @file Bounds: operators that only keep values inside a range, y = min(max(x, low), high). */
import type { Node, Value } from "../ir/graph.ts";
import { constantValue } from "./constant.ts";
import { entryOf, type OpTable } from "./table.ts";

/** An end that is open is infinite; one that is computed, and so not known, is null. */
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

function end(value: Value | null | undefined, open: number): number | null {
  return value ? (constantValue(value)?.numbers()[0] ?? null) : open;
}

/** Null for operators that do more than that. */
export function boundsOf(node: Node): Bounds | null {
  return entryOf(bounded, node)?.(node) ?? null;
}
