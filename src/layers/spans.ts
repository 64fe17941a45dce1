/** @file The spans of a model: where factors per channel can move in front of its layers. */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { factorBeside, linearOf } from "../ops/linear.ts";
import { weightsOf } from "../ops/weights.ts";
import { chosenLayers, type Selection } from "../weights/select.ts";
import type { Skips } from "../weights/sites.ts";
import { type Span, spanOf } from "./rescale.ts";

/** A value that layers read, with the axis of its channels. */
export interface Read {
  readonly value: Value;
  readonly axis: number;
  /** The chosen layers that read it. */
  readonly layers: readonly Node[];
}

/** What layers read that no factor passes, and why. */
export interface Closed extends Read {
  readonly reason: string;
}

/**
 * The spans of all values that the chosen layers read, each once, in order of execution; `closed`
 * are the values that have none. Throws TersorError "no-match" for a glob that matches no layer.
 */
export function spansOf(
  model: Model,
  selection: Selection,
): { readonly spans: readonly Span[]; readonly closed: readonly Closed[] } {
  const found = weightsOf(model);
  const chosen = chosenLayers(model, selection, undefined, found);
  const reads = new Map<Value, { value: Value; axis: number; layers: Node[] }>();
  for (const use of found) {
    const linear = linearOf(use.node);
    if (!linear || !chosen.has(use.node) || use.index > 1) continue;
    const value = factorBeside(use);
    const rank = value.shape?.length ?? 0;
    const axis = (linear.channelAxis + rank) % Math.max(1, rank);
    const known = reads.get(value) ?? { value, axis, layers: [] };
    known.layers.push(use.node);
    reads.set(value, known);
  }
  const spans: Span[] = [];
  const closed: Closed[] = [];
  const seen = new Set<Value>();
  for (const read of reads.values()) {
    if (seen.has(read.value)) continue;
    const span = spanOf(read.value, read.axis, chosen);
    if (typeof span === "string") closed.push({ ...read, reason: span });
    else {
      spans.push(span);
      for (const value of span.values.keys()) seen.add(value);
    }
  }
  return { spans, closed };
}

/** Reports each layer that reads a closed value as skipped. */
export function tellClosed(closed: readonly Closed[], notes: Skips): void {
  for (const { layers, reason } of closed) {
    for (const { name } of layers) notes.skip(name, `keeps its scales: ${reason}`);
  }
}
