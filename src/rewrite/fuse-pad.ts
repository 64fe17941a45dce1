/** @file Replaces a Pad of zeros before a Conv or a pool by the node's own padding. */

import type { Node, Value } from "../ir/graph.ts";
import { axisOf } from "../ops/evaluate/elements.ts";
import { intsOf, otherReaders, scalarOf } from "./constants.ts";
import { defineRule } from "./rule.ts";

export const fusePad = defineRule({
  id: "fuse-pad",
  doc: "Pad with zeros (MaxPool: -infinity) before Conv, AveragePool, MaxPool -> its pads",
  roots: ["Conv", "MaxPool", "AveragePool"],
  apply(node) {
    const padded = node.inputs[0];
    const pad = padded?.producer;
    if (!padded || pad?.op !== "Pad" || pad.domain !== "") return null;
    const pads = spatialPads(pad);
    if (typeof pads === "string" || !pads) return pads;
    const [x, , fill] = pad.inputs;
    const wanted = node.op === "MaxPool" ? -Infinity : 0;
    const read = otherReaders(padded, node);
    if ((fill ? scalarOf(fill) : 0) !== wanted) return `${pad.name} pads with another number`;
    if (read) return read;
    if (node.text("auto_pad", "NOTSET") !== "NOTSET") return `${node.name} pads by itself`;
    const own = node.ints("pads") ?? pads.map(() => 0);
    if (own.length !== pads.length) return null;
    const kernel = node.ints("kernel_shape") ?? [];
    if (node.op !== "Conv" && own.some((p, i) => p + pads[i] >= kernel[i % kernel.length])) {
      return `${pad.name} pads more than the window of ${node.name} allows`;
    }
    if (node.op === "AveragePool") {
      // The padding zeros of an AveragePool equal those of the Pad only if they count in the
      // average.
      const counted = node.int("count_include_pad", 0) !== 0 || own.every((p) => p === 0);
      if (!counted || node.int("ceil_mode", 0) !== 0) return `${node.name} leaves padding out`;
      node.set("count_include_pad", { type: "int", value: 1 });
    }
    node.set("pads", { type: "ints", value: own.map((p, i) => p + pads[i]) });
    node.setInput(0, x as Value);
    return node.outputs;
  },
});

/**
 * The pads of the axes after batch and channels, all begins, then all ends. Null for other modes
 * than constant, or where they are not known; a reason where they crop.
 */
function spatialPads(pad: Node): readonly number[] | string | null {
  const [x, amounts, , axes] = pad.inputs;
  if (pad.text("mode", "constant") !== "constant") return null;
  const given = intsOf(amounts);
  const rank = x?.shape?.length ?? (axes ? undefined : given && given.length / 2);
  const along = axes ? intsOf(axes) : given?.slice(0, given.length / 2).map((_, i) => i);
  if (!given || !along || rank === undefined || given.length !== 2 * along.length) return null;
  const full = Array<number>(2 * rank).fill(0);
  for (const [i, axis] of along.entries()) {
    const at = axisOf(axis, rank);
    full[at] = given[i];
    full[at + rank] = given[i + along.length];
  }
  const begins = full.slice(0, rank);
  const ends = full.slice(rank);
  if ([...begins.slice(0, 2), ...ends.slice(0, 2)].some((p) => p !== 0)) return null;
  if (full.some((p) => p < 0)) return `${pad.name} crops`;
  return [...begins.slice(2), ...ends.slice(2)];
}
