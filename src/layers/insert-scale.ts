/** @file Divides what layers read by a factor per channel in a node of its own. */
import type { Node } from "../ir/graph.ts";
import { build } from "../ops/builder.ts";
import { readerOf, scaleWeight, type WeightSlot } from "./rescale.ts";
import type { Read } from "./spans.ts";

/**
 * x -> Mul(x, 1 / s) in front of the layers that read x, whose weights are multiplied by s
 * [channels]. `choose` gives s from the weights. Returns why not, or null if it was done.
 */
export function insertScale(
  { value, axis, layers }: Read,
  choose: (slots: readonly WeightSlot[]) => Float64Array,
): string | null {
  const slots: WeightSlot[] = [];
  for (const node of layers) {
    const slot = readerOf(node, value, axis);
    if (typeof slot === "string") return slot;
    slots.push(slot);
  }
  const s = choose(slots);
  const rank = value.shape?.length ?? 0;
  const shape = [s.length, ...Array.from({ length: rank - axis - 1 }, () => 1)];
  const g = build(value.graph, `${value.name}/smooth`);
  const factor = g.constant(
    Float32Array.from(s, (each) => 1 / each),
    { shape, name: "factor" },
  );
  const smooth = g.Mul(value, factor);
  smooth.dtype = value.dtype;
  smooth.shape = value.shape;
  for (const slot of slots) {
    scaleWeight(slot, (c) => s[c]);
    const { node, index }: { node: Node; index: number } = slot;
    node.setInput(1 - index, smooth);
  }
  return null;
}
